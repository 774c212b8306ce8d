//! The network: the Abilene backbone, with stores and compute hosts at its nodes; and who may have what.

use std::fmt::Write as _;

/// A node of the backbone, and how many compute hosts are at it.
pub(crate) struct Node {
    /// As switches are named.
    pub(crate) name: &'static str,
    /// How many hosts are there.
    pub(crate) hosts: u64,
}

/// The nodes of Abilene: the backbone of Internet2 as it was in 2004.
pub(crate) const NODES: [Node; 12] = [
    Node { name: "atlanta-m5", hosts: 1 },
    Node { name: "atlanta", hosts: 3 },
    Node { name: "chicago", hosts: 4 },
    Node { name: "denver", hosts: 3 },
    Node { name: "houston", hosts: 3 },
    Node { name: "indianapolis", hosts: 3 },
    Node { name: "kansas-city", hosts: 3 },
    Node { name: "los-angeles", hosts: 4 },
    Node { name: "new-york", hosts: 4 },
    Node { name: "sunnyvale", hosts: 4 },
    Node { name: "seattle", hosts: 3 },
    Node { name: "washington", hosts: 3 },
];

/// Its links: OC-192, but for the one to the second router of Atlanta, which is OC-48.
const LINKS: [(&str, &str, &str); 15] = [
    ("atlanta-m5", "atlanta", "2.48Gbit"),
    ("atlanta", "houston", "9.92Gbit"),
    ("atlanta", "indianapolis", "9.92Gbit"),
    ("atlanta", "washington", "9.92Gbit"),
    ("chicago", "indianapolis", "9.92Gbit"),
    ("chicago", "new-york", "9.92Gbit"),
    ("denver", "kansas-city", "9.92Gbit"),
    ("denver", "sunnyvale", "9.92Gbit"),
    ("denver", "seattle", "9.92Gbit"),
    ("houston", "kansas-city", "9.92Gbit"),
    ("houston", "los-angeles", "9.92Gbit"),
    ("indianapolis", "kansas-city", "9.92Gbit"),
    ("los-angeles", "sunnyvale", "9.92Gbit"),
    ("new-york", "washington", "9.92Gbit"),
    ("sunnyvale", "seattle", "9.92Gbit"),
];

/// Two regions of an object store, an image store between them, and a place for backups.
const STORAGE: &str = r#"
[[storage]]
name = "swift-east"
switch = "new-york"
read = "40Gbit"
write = "20Gbit"
tier = "ssd"
mirrors = ["swift-west"]

[[storage]]
name = "swift-west"
switch = "los-angeles"
read = "40Gbit"
write = "20Gbit"
tier = "ssd"

[[storage]]
name = "glance"
switch = "indianapolis"
read = "20Gbit"
write = "10Gbit"
tier = "ssd"

[[storage]]
name = "archive"
switch = "kansas-city"
read = "5Gbit"
write = "15Gbit"
tier = "hdd"
"#;

/// Two teams of research and two of the cloud. `render` has a quota that is too small for its evenings;
/// the rest is bounded by what the network carries.
pub(crate) const POLICY: &str = r#"
[[project]]
name = "research"
labels = { cost-centre = "4711" }

[[project]]
name = "genomics"
parent = "research"

[[project]]
name = "vision"
parent = "research"
rate = "30Gbit"

[[project]]
name = "cloud"

[[project]]
name = "render"
parent = "cloud"
rate = "4Gbit"
reservations = 40

[[project]]
name = "web"
parent = "cloud"

[[project]]
name = "backup"
budgets = [{ period = "month", bytes = "2PB" }]

[[class]]
name = "gold"
weight = 4
priority = 2

[[class]]
name = "silver"
weight = 2
priority = 1

[[class]]
name = "bronze"
weight = 1
preemptible = true
lane_share = "90%"

[[rule]]
name = "one-image-at-most"
when = 'request.project == "web" && request.rate_bps > 8000000000'
deny = "no image of the web needs more than 8 Gbit/s"
shadow = true
"#;

/// A link that carries less than it should, by what a test on it measured.
pub(crate) const WEAK_LANE: &str = "links/los-angeles--sunnyvale/forward";
/// A link over which something goes that nobody has booked.
pub(crate) const CROWDED_LANE: &str = "links/chicago--indianapolis/reverse";
/// A link that is worked on at night.
pub(crate) const MAINTAINED: &str = "links/houston--kansas-city";

/// The hosts, by name.
pub(crate) fn hosts() -> Vec<String> {
    let of = |node: &Node| {
        let name = node.name;
        (1..=node.hosts).map(move |number| format!("{name}-{number}"))
    };
    NODES.iter().flat_map(of).collect()
}

/// The network as TOML, as a person would write it.
pub(crate) fn topology() -> String {
    let mut text = String::new();
    for Node { name, hosts } in &NODES {
        // Writing to a text cannot fail.
        writeln!(text, "[[switch]]\nname = \"{name}\"").ok();
        for number in 1..=*hosts {
            let capacity = if number == 1 { "25Gbit" } else { "10Gbit" };
            writeln!(text, "[[host]]\nname = \"{name}-{number}\"").ok();
            writeln!(
                text,
                "nic = [{{ name = \"eth0\", switch = \"{name}\", capacity = \"{capacity}\" }}]"
            )
            .ok();
        }
    }
    for (from, to, capacity) in LINKS {
        writeln!(text, "[[link]]\nname = \"{from}--{to}\"\nfrom = \"{from}\"\nto = \"{to}\"").ok();
        writeln!(text, "capacity = \"{capacity}\"\nmtu = 9000").ok();
    }
    text + STORAGE
}
