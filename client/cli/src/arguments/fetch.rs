//! What is typed to fetch or copy something, and where it is to be found.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tidegate_client::download::source::{Glance, Mount, S3, Swift};
use tidegate_client::{Digest, Download, Schemes};
use tidegate_policy::{BitRate, ClassId, Endpoint, Principal, ProjectId, Span, TimeText};

use super::requests::Between;
use super::words::{self, Unreachable};

#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// What to fetch: http://, https://, s3://BUCKET/KEY, swift://CONTAINER/OBJECT,
    /// glance://HOST:PORT/ID or, below --mount, file:///PATH
    #[arg(value_name = "SRC")]
    pub(crate) url: String,
    /// The file that it becomes
    #[arg(value_name = "DST")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) between: Between,
    #[command(flatten)]
    pub(crate) terms: Terms,
    /// The same content elsewhere, to go on from where SRC fails; with --digest even in its middle
    #[arg(long = "or", value_name = "SRC")]
    pub(crate) others: Vec<String>,
    /// May take several --from at once, each at its own rate from its --at; needs a digest
    #[arg(long, requires = "by")]
    pub(crate) split: bool,
    /// Which SRC belongs to which --from, where each has its own
    #[arg(long, value_name = "ENDPOINT=SRC", value_parser = at)]
    pub(crate) at: Vec<(Endpoint, String)>,
    /// The digest that it must have: md5:, sha256: or sha512: and hex digits
    #[arg(long, value_name = "DIGEST")]
    pub(crate) digest: Option<Digest>,
    /// The SHA-256 that it must have, 64 hex digits
    #[arg(long, value_name = "HEX", conflicts_with = "digest")]
    pub(crate) sha256: Option<String>,
    /// Fetch so many pieces at once under the one grant
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(Download::STREAMS_MAX))
    )]
    pub(crate) streams: u16,
    /// Begin anew, and keep nothing of a fetch that fails
    #[arg(long)]
    pub(crate) no_resume: bool,
    /// What to do where the grant ends before the fetch: stop, or ask again for what is left
    #[arg(long, value_name = "CHOICE", default_value = "stop")]
    pub(crate) on_expiry: Expiry,
    #[command(flatten)]
    pub(crate) stores: Stores,
    /// What to do without a broker: wait, fail, or best-effort=RATE
    #[arg(long, value_name = "CHOICE", default_value = "fail")]
    pub(crate) on_unreachable: Unreachable,
}

/// What to do where a grant ends before its fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Expiry {
    /// What has come is kept for another try.
    Stop,
    /// As long as each grant brings some of it.
    Again,
}

/// When, for how long, and against whom.
#[derive(Debug, Args)]
pub(crate) struct Terms {
    /// When to begin: now, +2h or 2026-11-23T18:00:00Z
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = words::time)]
    pub(crate) start: TimeText,
    /// How long to reserve; by default what the size takes at the rate, and 10 s more
    #[arg(long = "for", value_name = "DURATION", value_parser = words::span)]
    pub(crate) span: Option<Span>,
    /// All of it by then, such as +2h or 18:00Z, at whatever rates there are, instead of one --rate
    #[arg(
        long,
        value_name = "TIME",
        value_parser = words::latest,
        conflicts_with_all = ["rate", "span"]
    )]
    pub(crate) by: Option<TimeText>,
    /// The lowest rate that helps; with --by
    #[arg(long, value_name = "RATE", value_parser = words::rate, requires = "by")]
    pub(crate) min_rate: Option<BitRate>,
    /// The highest rate that is of use; with --by
    #[arg(long, value_name = "RATE", value_parser = words::rate, requires = "by")]
    pub(crate) max_rate: Option<BitRate>,
    /// Keep to the plan that is granted: by default it may be moved, as long as --by is kept
    #[arg(long, requires = "by")]
    pub(crate) unmoved: bool,
    /// 0 to 9: higher ones may take from lower ones that can be preempted
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(0..=9))]
    pub(crate) priority: Option<u8>,
    /// A higher priority may shift it, shrink it, and at last close it
    #[arg(long)]
    pub(crate) preemptible: bool,
    /// The project that it belongs to, whose quotas count
    #[arg(long, value_name = "PROJECT", value_parser = words::project)]
    pub(crate) project: Option<ProjectId>,
    /// The class of service: it says how much of the rate is promised, and whom it stands before
    #[arg(long, value_name = "CLASS", value_parser = words::class)]
    pub(crate) class: Option<ClassId>,
    /// Who asks, as the identity provider calls them; what each principal may have counts
    #[arg(long = "as", value_name = "PRINCIPAL", value_parser = words::principal)]
    pub(crate) principal: Option<Principal>,
    /// What people want to know of it; several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = words::label)]
    pub(crate) labels: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// What to copy: a file, or as for `tidegate fetch` http://, https://, s3://BUCKET/KEY,
    /// swift://CONTAINER/OBJECT, glance://HOST:PORT/ID or, below --mount, file:///PATH
    #[arg(value_name = "SRC")]
    pub(crate) source: String,
    /// Where to: a file, or http://, https://, s3://, swift:// or, below --mount, file:///PATH
    #[arg(value_name = "DST")]
    pub(crate) destination: String,
    /// Where the bytes come from: storage/NAME or hosts/NAME; of a file by default the storage of
    /// its --mount, else --host
    #[arg(long, value_name = "ENDPOINT", value_parser = words::endpoint)]
    pub(crate) from: Option<Endpoint>,
    /// Where they go, in the same way
    #[arg(long, value_name = "ENDPOINT", value_parser = words::endpoint)]
    pub(crate) to: Option<Endpoint>,
    /// This host, as the broker calls it: hosts/NAME. What goes from elsewhere to elsewhere goes
    /// through it: granted in both directions or in none, and with --by at one constant rate
    #[arg(
        long,
        env = "TIDEGATE_HOST",
        hide_env_values = true,
        value_name = "ENDPOINT",
        value_parser = words::endpoint
    )]
    pub(crate) host: Option<Endpoint>,
    /// The payload rate, such as 2Gbit or 250MB/s
    #[arg(long, value_parser = words::rate)]
    pub(crate) rate: Option<BitRate>,
    #[command(flatten)]
    pub(crate) terms: Terms,
    /// The digest that it must have: md5:, sha256: or sha512: and hex digits
    #[arg(long, value_name = "DIGEST")]
    pub(crate) digest: Option<Digest>,
    #[command(flatten)]
    pub(crate) stores: Stores,
    /// What to do without a broker: wait, fail, or best-effort=RATE
    #[arg(long, value_name = "CHOICE", default_value = "fail")]
    pub(crate) on_unreachable: Unreachable,
}

#[derive(Debug, Args)]
pub(crate) struct Pipe {
    /// The reservation under which the bytes move; without a session
    #[arg(long, value_name = "RESERVATION")]
    pub(crate) grant: String,
}

/// The stores that can be read and written. What is secret is read from the environment alone, under the
/// names that each store's own tools know.
#[derive(Debug, Args)]
#[command(next_help_heading = "Stores")]
pub(crate) struct Stores {
    /// A directory below which file:// may read and write; with storage/NAME= before it, one of that
    /// storage; may be repeated
    #[arg(long = "mount", value_name = "DIR", value_parser = words::mount)]
    pub(crate) mounts: Vec<Mount>,
    /// The server of s3://
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL")]
    s3_endpoint: Option<String>,
    /// The region of s3://
    #[arg(long, value_name = "REGION", env = "AWS_REGION", default_value = "us-east-1")]
    s3_region: String,
    /// The account of swift://, with the token in OS_AUTH_TOKEN
    #[arg(long, value_name = "URL", env = "OS_STORAGE_URL", requires = "os_auth_token")]
    swift_account: Option<String>,
    /// Who names the account of swift://, with ST_USER and ST_KEY
    #[arg(long, value_name = "URL", env = "ST_AUTH", conflicts_with = "swift_account")]
    swift_auth: Option<String>,
    #[arg(long, hide = true, env = "OS_AUTH_TOKEN", hide_env_values = true)]
    os_auth_token: Option<String>,
    #[arg(long, hide = true, env = "ST_USER", default_value = "")]
    st_user: String,
    #[arg(long, hide = true, env = "ST_KEY", hide_env_values = true, default_value = "")]
    st_key: String,
}

impl Stores {
    /// The schemes that are allowed.
    pub(crate) fn schemes(&self) -> Schemes {
        let mut s3 = S3::default().region(&self.s3_region);
        if let Some(endpoint) = &self.s3_endpoint {
            s3 = s3.endpoint(endpoint);
        }
        let mut schemes = Schemes::default().with("s3", s3);
        let token = self.os_auth_token.as_deref();
        if let Some(token) = token {
            let glance = Glance::default().token(token);
            schemes = schemes.with("glance", glance.clone()).with("glances", glance);
        }
        let known = self.swift_account.as_deref().zip(token);
        let known = known.map(|(url, token)| Swift::account(url, token));
        let v1 =
            self.swift_auth.as_deref().map(|auth| Swift::v1(auth, &self.st_user, &self.st_key));
        if let Some(swift) = known.or(v1) {
            schemes = schemes.with("swift", swift);
        }
        if self.mounts.is_empty() { schemes } else { schemes.mounted(self.mounts.clone()) }
    }
}

fn at(text: &str) -> Result<(Endpoint, String), String> {
    let (endpoint, url) =
        text.split_once('=').ok_or("write it as storage/NAME=http://HOST/IMAGE")?;
    let endpoint =
        endpoint.parse().map_err(|error: tidegate_policy::ParseError| error.to_string())?;
    Ok((endpoint, url.to_owned()))
}
