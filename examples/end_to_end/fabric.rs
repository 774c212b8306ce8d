//! Six hosts at two leaves, two spines between them, and 200 Mbit/s on every link each way.
//!
//! What goes from the left (`h1` to `h3`) to the right (`h4` to `h6`) takes the first spine, what comes
//! back the second: so all that is sent to the right shares one link, `leaf-1` to `spine-1`.

use std::path::PathBuf;

use tempfile::TempDir;
use tidegate_lab::net::{Net, Running};
use tidegate_lab::{scratch, serve};

/// What every link carries each way, as `tc` and as a topology call it.
const TC_RATE: &str = "200mbit";

/// The hosts, by the number of their leaf.
const HOSTS: [(&str, u8); 6] = [("h1", 1), ("h2", 1), ("h3", 1), ("h4", 2), ("h5", 2), ("h6", 2)];

/// The network, with a server at each host of the left.
pub(crate) struct Fabric {
    // Dropped in this order: who uses the network before the network.
    _servers: Vec<Running>,
    pub(crate) directory: TempDir,
    pub(crate) net: Net,
}

impl Fabric {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut net = Net::new()?;
        let hosts = HOSTS.iter().map(|(host, _)| *host);
        for name in hosts.chain(["leaf-1", "leaf-2", "spine-1", "spine-2"]) {
            net.namespace(name)?;
            net.set(name, "net/ipv4/ip_forward", "1")?;
            // What comes back comes another way.
            net.set(name, "net/ipv4/conf/all/rp_filter", "0")?;
        }
        for (number, (host, leaf)) in (1..).zip(HOSTS) {
            let leaf = format!("leaf-{leaf}");
            link(&net, (host, "eth0"), (&leaf, host), number)?;
            net.route(host, "default", &far(number))?;
        }
        for (leaf, spine, number) in [(1, 1, 11), (1, 2, 12), (2, 1, 21), (2, 2, 22)] {
            let (leaf, spine) = (format!("leaf-{leaf}"), format!("spine-{spine}"));
            link(&net, (&leaf, &spine), (&spine, &leaf), number)?;
        }
        for (number, (_, leaf)) in (1..).zip(HOSTS) {
            let to = format!("10.78.{number}.0/24");
            for spine in [1, 2] {
                net.route(&format!("spine-{spine}"), &to, &near(leaf * 10 + spine))?;
            }
            // To the right over the first spine, to the left over the second.
            let (other, spine) = if leaf == 2 { (1, 1) } else { (2, 2) };
            net.route(&format!("leaf-{other}"), &to, &far(other * 10 + spine))?;
        }
        let servers = ["h1", "h2", "h3"].map(|host| serve::start(&net, host));
        let servers = servers.into_iter().collect::<Result<Vec<_>, _>>()?;
        let fabric = Self { _servers: servers, directory: scratch::directory()?, net };
        std::fs::create_dir(fabric.fetched())?;
        Ok(fabric)
    }

    /// Where agents put what they fetch.
    pub(crate) fn fetched(&self) -> PathBuf {
        self.directory.path().join("fetched")
    }

    /// Where a host of the left serves so many bytes.
    pub(crate) fn url(host: &str, bytes: u64) -> String {
        serve::url(&format!("10.78.{}.1", host.trim_start_matches('h')), bytes)
    }
}

/// A link with its two queues: the near end has `.1`, the far one `.2`.
fn link(net: &Net, here: (&str, &str), there: (&str, &str), number: u8) -> anyhow::Result<()> {
    net.wire(here, there)?;
    for (end, address) in [(here, near(number)), (there, far(number))] {
        net.address(end, &format!("{address}/24"))?;
        net.slow_down(end, TC_RATE)?;
    }
    Ok(())
}

fn near(number: u8) -> String {
    format!("10.78.{number}.1")
}

fn far(number: u8) -> String {
    format!("10.78.{number}.2")
}

/// The same for the broker, in which `reserved` is kept back on every link.
pub(crate) fn topology(reserved: &str) -> String {
    let mut text = String::new();
    for switch in ["leaf-1", "leaf-2", "spine-1", "spine-2"] {
        text.push_str(&format!("[[switch]]\nname = \"{switch}\"\n"));
    }
    for (host, leaf) in HOSTS {
        text.push_str(&format!(
            "[[host]]\nname = \"{host}\"\nnic = [{{ name = \"eth0\", switch = \"leaf-{leaf}\", \
             capacity = \"200Mbit\", reserved = \"{reserved}\" }}]\n"
        ));
    }
    for (leaf, spine) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        text.push_str(&format!(
            "[[link]]\nname = \"leaf-{leaf}--spine-{spine}\"\nfrom = \"leaf-{leaf}\"\n\
             to = \"spine-{spine}\"\ncapacity = \"200Mbit\"\nreserved = \"{reserved}\"\n"
        ));
    }
    for (source, _) in HOSTS.iter().filter(|(_, leaf)| *leaf == 1) {
        for (destination, _) in HOSTS.iter().filter(|(_, leaf)| *leaf == 2) {
            text.push_str(&format!(
                "[[route]]\nfrom = \"hosts/{source}\"\nto = \"hosts/{destination}\"\n\
                 links = [\"leaf-1--spine-1\", \"leaf-2--spine-1\"]\n"
            ));
        }
    }
    text
}
