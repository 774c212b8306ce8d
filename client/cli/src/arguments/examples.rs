//! What the help of each command shows: lines that can be typed as they stand.

pub(super) const RESERVE_USAGE: &str = "\
tidegate reserve --from ENDPOINT --to ENDPOINT --rate RATE --for DURATION [OPTIONS]
       tidegate reserve --from ENDPOINT --to ENDPOINT --volume SIZE --by TIME [OPTIONS]
       tidegate reserve --lane LANE --rate RATE --for DURATION [OPTIONS]
       tidegate reserve --offer TOKEN [OPTIONS]
       tidegate reserve --file FILE [OPTIONS]";

pub(super) const EXPLAIN_USAGE: &str =
    "tidegate explain --from ENDPOINT --to ENDPOINT --rate RATE --for DURATION [OPTIONS]";

pub(super) const WHEN_USAGE: &str =
    "tidegate when --from ENDPOINT --to ENDPOINT --rate RATE --for DURATION [OPTIONS]";

pub(super) const MODIFY_USAGE: &str =
    "tidegate modify RESERVATION [--rate RATE] [--start TIME] [--until TIME] [OPTIONS]";

pub(super) const RESERVE: &str = "\
Examples:
  tidegate reserve --from storage/swift-east --to hosts/compute-1 --rate 2Gbit --for 10m
      now, for ten minutes
  tidegate reserve --from storage/swift-east --from storage/swift-west --to hosts/compute-1 \\
    --rate 5Gbit --start +2h --for 1h --hold 5m
      in two hours, from whichever has room, held until it is confirmed
  tidegate reserve --from storage/swift-east --to hosts/compute-1 \\
    --rate 1Gbit..4Gbit --for 1h --by +6h
      the first hour within six that has 1 Gbit/s, and there as much as fits
  tidegate reserve --from storage/swift-east --from storage/swift-west --to hosts/compute-1 \\
    --volume 40GB --by 18:00Z --split
      40 GB until then, at whatever rates there are, from both at once if that helps
  tidegate reserve --from storage/swift-east --to hosts/compute-1 --rate 5Gbit --for 1h --take 1
      and if that is refused, the best that is offered
  tidegate reserve --from storage/swift-east --to hosts/compute-1 --rate 2Gbit --for 1h \\
    --project vision --class silver --as ann@example.org --label run=7
      in a class of service, whose it is and what for
  tidegate reserve --file requests.toml --all-or-nothing
      several at once; a file has one table for each, with the words of the options, and
      before them how they hang together (each, all-of, any-of, in-order) and in how many weeks:
          relation = \"in-order\"
          gapless = true
          weeks = 4
          [[reserve]]
          from = \"storage/swift-east\"
          to = \"hosts/compute-1\"
          rate = \"2Gbit\"
          for = \"10m\"";

pub(super) const CONFIRM: &str = "\
Example:
  tidegate confirm 01a20af0-d8cc-758e-b485-64acd3bb72f2";

pub(super) const EXTEND: &str = "\
Example:
  tidegate extend 01a20af0-d8cc-758e-b485-64acd3bb72f2 --for 5m";

pub(super) const MODIFY: &str = "\
Examples:
  tidegate modify 01a20af0-d8cc-758e-b485-64acd3bb72f2 --rate 3Gbit
  tidegate modify 01a20af0-d8cc-758e-b485-64acd3bb72f2 --until +30m --dry-run";

pub(super) const RELEASE: &str = "\
Examples:
  tidegate release 01a20af0-d8cc-758e-b485-64acd3bb72f2
  tidegate ls --filter 'rate_bps >= 5000000000' --columns id -o csv | tail -n +2 | \\
    xargs tidegate release";

pub(super) const LS: &str = "\
Examples:
  tidegate ls --closed -o wide
  tidegate ls --filter 'destination == \"hosts/compute-1\" && rate_bps >= 1000000000'
  tidegate ls --columns id,rate,end -o csv --all-pages";

pub(super) const SHOW: &str = "\
Example:
  tidegate show 01a20af0-d8cc-758e-b485-64acd3bb72f2 -o yaml";

pub(super) const EXPLAIN: &str = "\
Example:
  tidegate explain --from storage/swift-east --to hosts/compute-1 --rate 5Gbit --for 1h";

pub(super) const WHEN: &str = "\
Examples:
  tidegate when --from storage/swift-east --to hosts/compute-1 --rate 5Gbit --for 1h
      within the next 24 hours
  tidegate when --from storage/swift-east --to hosts/compute-1 --rate 5Gbit --for 1h \\
    --start +12h --by +7days";

pub(super) const WATCH: &str = "\
Examples:
  tidegate watch
  tidegate watch --changes -o jsonl --filter 'source == \"storage/swift-east\"'";

pub(super) const TOP: &str = "\
Examples:
  tidegate top
  tidegate top --once --count 3";

pub(super) const FETCH: &str = "\
Examples:
  tidegate fetch http://10.0.0.5/images/debian.qcow2 ./debian.qcow2 \\
    --from storage/swift-east --to hosts/compute-1 --by 18:00Z
      all of it until then; its plan may be moved meanwhile, and is followed
  tidegate fetch http://10.0.0.5/images/debian.qcow2 ./debian.qcow2 \\
    --from storage/swift-east --to hosts/compute-1 --rate 2Gbit \\
    --sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

pub(super) const CP: &str = "\
Examples:
  tidegate cp ./shop.dump s3://backups/shop.dump --host hosts/db-1 --to storage/s3 --rate 2Gbit
      an upload: what is seen in the end is all of it, or nothing; one that fails begins anew
  tidegate cp s3://images/debian.raw swift://images/debian.raw \\
    --from storage/s3 --to storage/swift-east --host hosts/compute-1 --rate 2Gbit
      from one store to another through this host and its memory, under a grant for each direction
  tidegate cp file:///mnt/a/debian.raw file:///mnt/b/debian.raw --rate 4Gbit \\
    --mount storage/nfs-1=/mnt/a --mount storage/nfs-1=/mnt/b
      within one storage, which copies by itself: nothing but its lanes is booked";

pub(super) const PIPE: &str = "\
Example:
  id=$(tidegate reserve --from hosts/db-1 --to storage/backups --rate 2Gbit --for 1h -o json | jq -r .id)
  pg_dump shop | tidegate pipe --grant \"$id\" | ssh backups 'cat > shop.dump'";

pub(super) const SESSIONS: &str = "\
Example:
  tidegate sessions --ended -o wide";

pub(super) const LANES: &str = "\
Examples:
  tidegate lanes
  tidegate lanes --start +2h --for 1h --columns lane,share";

pub(super) const PATH: &str = "\
Example:
  tidegate path storage/swift-east hosts/compute-1";

pub(super) const DRAIN: &str = "\
Examples:
  tidegate drain links/tor-1--spine --dry-run
  tidegate drain hosts/compute-1/nics/eth0";

pub(super) const UNDRAIN: &str = "\
Example:
  tidegate undrain links/tor-1--spine";

pub(super) const MAINTENANCE: &str = "\
Examples:
  tidegate maintenance add links/tor-1--spine --start +2h --for 1h --left 50% --comment optics
  tidegate maintenance add storage/swift-east --until 2026-11-23T18:00:00Z --dry-run
  tidegate maintenance ls
  tidegate maintenance rm 01a20af0-d8cc-758e-b485-64acd3bb72f2";

pub(super) const MAINTENANCE_LS: &str = "\
Example:
  tidegate maintenance ls -o csv";

pub(super) const MAINTENANCE_RM: &str = "\
Example:
  tidegate maintenance rm 01a20af0-d8cc-758e-b485-64acd3bb72f2 --dry-run";

pub(super) const APPLY: &str = "\
Examples:
  tidegate apply topology topology.toml --dry-run
  tidegate export topology | sed s/25Gbit/40Gbit/ | tidegate apply topology -";

pub(super) const APPLY_POLICY: &str = "\
Examples:
  tidegate apply policy policy.toml --dry-run
  tidegate export policy | sed s/5Gbit/8Gbit/ | tidegate apply policy -";

pub(super) const DIFF_POLICY: &str = "\
Examples:
  tidegate diff policy policy.toml
  tidegate diff policy policy.toml --replay
      and what it would have decided otherwise of the last 1000 requests";

pub(super) const EXPORT_POLICY: &str = "\
Example:
  tidegate export policy > policy.toml";

pub(super) const GET: &str = "\
Examples:
  tidegate get project -o csv
  tidegate get quota vision
  tidegate get class";

pub(super) const GET_PROJECT: &str = "\
Examples:
  tidegate get project
  tidegate get project vision -o yaml";

pub(super) const GET_QUOTA: &str = "\
Examples:
  tidegate get quota
  tidegate get quota vision
      what binds it, its own and what is above it";

pub(super) const GET_CLASS: &str = "\
Examples:
  tidegate get class
  tidegate get class gold -o json";

pub(super) const GET_RULE: &str = "\
Examples:
  tidegate get rule
  tidegate get rule guests-are-slow -o json";

pub(super) const DESCRIBE_RULE: &str = "\
Example:
  tidegate describe rule guests-are-slow";

pub(super) const SET_RULE: &str = "\
Examples:
  tidegate set rule guests-are-slow --when 'request.project == \"guests\"' --cap 2Gbit
  tidegate set rule by-night --when '\"storage/archive\" in request.sources && now.getHours() >= 8' \\
    --deny 'the archive is read by night' --shadow";

pub(super) const DELETE_RULE: &str = "\
Example:
  tidegate delete rule by-night --dry-run";

pub(super) const DESCRIBE: &str = "\
Examples:
  tidegate describe project vision
  tidegate describe class silver";

pub(super) const DESCRIBE_PROJECT: &str = "\
Example:
  tidegate describe project vision";

pub(super) const DESCRIBE_CLASS: &str = "\
Example:
  tidegate describe class silver";

pub(super) const SET: &str = "\
Examples:
  tidegate set project lab --rate 10Gbit
  tidegate set project vision --parent lab --rate 4Gbit --reservations 200
  tidegate set class silver --ratio 1:2 --priority 3
  tidegate reserve --project vision --class silver --from storage/swift --to hosts/compute-1 \\
    --rate 2Gbit --for 10m";

pub(super) const SET_PROJECT: &str = "\
Examples:
  tidegate set project vision --parent lab --rate 4Gbit --rate-each 2Gbit --horizon 30d
  tidegate set project vision --rate none --label team=vision
  tidegate set project vision --share network=50% --principals 10 --principal-share network=20%
      half of every lane of the network, and of that nobody more than a fifth of the lane
  tidegate set project vision --hours 'mon-fri 08:00-18:00=1Gbit' --time-zone Europe/Berlin \\
    --override 2026-12-24..2026-12-27=10Gbit --budget month=2PB
  tidegate set project default --rate 1Gbit --dry-run";

pub(super) const SET_CLASS: &str = "\
Examples:
  tidegate set class silver --ratio 1:2 --weight 2 --priority 3
      half of what is asked for is promised, the other half may be had while it is left
  tidegate set class urgent --priority 8 --headroom 10%:10m --only vision --tier ssd
  tidegate set class bronze --preemptible --lane-share 30%";

pub(super) const DELETE: &str = "\
Examples:
  tidegate delete project vision --dry-run
  tidegate delete class bronze";

pub(super) const DELETE_PROJECT: &str = "\
Example:
  tidegate delete project vision --dry-run";

pub(super) const DELETE_CLASS: &str = "\
Example:
  tidegate delete class bronze --dry-run";

pub(super) const DIFF: &str = "\
Example:
  tidegate diff topology topology.toml";

pub(super) const EXPORT: &str = "\
Example:
  tidegate export topology > topology.toml";

pub(super) const EXPORT_RESERVATIONS: &str = "\
Example:
  tidegate export topology > topology.toml
  tidegate export reservations --all > requests.jsonl
  tidegate simulate --topology topology.toml --requests requests.jsonl";

pub(super) const REPORT: &str = "\
Examples:
  tidegate report utilization --fullest --count 10
  tidegate report top --by wasted
  tidegate report refusals
  tidegate report forecast --to +30days
  tidegate report statement vision
  tidegate report export --csv > reservations.csv";

pub(super) const REPORT_UTILIZATION: &str = "\
Examples:
  tidegate report utilization --fullest --count 10
      24 hours back and 24 hours ahead
  tidegate report utilization links/tor-1--spine/forward --from -1h --to now --bucket 1m -o wide
      a line for each minute
  tidegate report utilization 'links/*' --from -7days --to +7days --plot links.svg
  tidegate report utilization storage --from -30days -o csv > storage.csv
      a line for each piece of each lane";

pub(super) const REPORT_TOP: &str = "\
Examples:
  tidegate report top
  tidegate report top --by wasted --from -7days
  tidegate report top --lane links/tor-1--spine --by promised
  tidegate report top --class -o json";

pub(super) const REPORT_REFUSALS: &str = "\
Examples:
  tidegate report refusals --from -7days
  tidegate report refusals --project vision -o wide
  tidegate report refusals --bottleneck storage/swift-east/read";

pub(super) const REPORT_FORECAST: &str = "\
Examples:
  tidegate report forecast
      the lanes that run full soonest, seven days ahead
  tidegate report forecast links/tor-1--spine/forward --to +30days -o wide
  tidegate report forecast network --to +90days --plot forecast.svg";

pub(super) const REPORT_STATEMENT: &str = "\
Examples:
  tidegate report statement vision
  tidegate report statement vision --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z -o yaml";

pub(super) const REPORT_EXPORT: &str = "\
Examples:
  tidegate report export --csv --from -30days > reservations.csv
  tidegate report export --project vision | jq -r .name";

pub(super) const OBSERVE: &str = "\
Examples:
  tidegate observe links/tor-1--spine/forward --bytes 37.5GB --from -5m
      what a counter of the port says
  tidegate observe links/tor-1--spine/forward --able 10Gbit --from -10s --observer iperf-tor-1";

pub(super) const SIMULATE: &str = "\
Examples:
  tidegate simulate --topology topology.toml --requests requests.jsonl
  tidegate simulate --topology topology.toml --requests requests.jsonl --plan full,rigid \\
    --plot lanes.svg
  tidegate simulate --topology abilene.topology.json --requests requests.jsonl \\
    --plan rigid-1path,rigid --jitter 300s -o json";

pub(super) const GENERATE: &str = "\
Examples:
  tidegate simulate generate --topology abilene.topology.json --load 1.4 --mix 0,0,1 \\
    --requests requests.jsonl
      volumes by a deadline, 1.4 times what the network carries
  tidegate simulate generate --topology topology.toml --replicas 2 --no-shows 20% \\
    --requests requests.jsonl --truth truth.jsonl";

pub(super) const INFO: &str = "\
Example:
  tidegate info --broker http://127.0.0.1:7411";

pub(super) const COMPLETION: &str = "\
Examples:
  tidegate completion bash > /etc/bash_completion.d/tidegate
  tidegate completion fish > ~/.config/fish/completions/tidegate.fish";

pub(super) const MAN: &str = "\
Example:
  tidegate man ~/.local/share/man/man1 && man tidegate-reserve";
