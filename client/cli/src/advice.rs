//! What usually helps after an error, where somebody can tell: the nearest name, the next command.

use std::collections::BTreeSet;

use tidegate_client::connect::Client;
use tidegate_client::error::ClientError;

/// What to do next about an error of the broker, or on the way to it.
pub(crate) async fn next(client: &Client, error: &anyhow::Error) -> Option<String> {
    let words = match error.downcast_ref::<ClientError>()? {
        ClientError::Unreachable { .. } => {
            "check the address and that tidegated runs; --broker or TIDEGATE_BROKER say where"
        }
        error if error.is_unreachable() => {
            "`tidegate ls` shows whether it did, once the broker answers"
        }
        ClientError::Unsupported { .. } => "`tidegate info` says which version the broker is",
        ClientError::Stale { .. } => "`tidegate show ID -o json` has the present etag",
        ClientError::LanesInUse { .. } => "--accept-losses closes them and goes on",
        ClientError::QuotasInUse { .. } => {
            "--ignore-safety-checks cuts them all the same: nobody loses anything by it"
        }
        ClientError::NotFound { what, .. } => return missing(client, what).await,
        _ => return None,
    };
    Some(words.to_owned())
}

/// The address that was meant, if its beginning or its end is missing.
pub(crate) fn address(target: &str) -> Option<String> {
    if target.is_empty() || target.contains('/') {
        return None;
    }
    let port = if target.contains(':') { "" } else { ":7411" };
    Some(format!("did you mean http://{target}{port}?"))
}

/// What there is instead of what there is not.
async fn missing(client: &Client, what: &str) -> Option<String> {
    let what = what.strip_prefix("lanes/").unwrap_or(what);
    let (collection, _) = what.split_once('/')?;
    match collection {
        "projects" if !what.contains("/reservations/") => {
            let near = projects(client).await.ok();
            let near = near.as_ref().and_then(|names| nearest(what, names));
            return Some(match near {
                Some(name) => format!("did you mean {}?", name.trim_start_matches("projects/")),
                None => "`tidegate get project` shows those that there are".into(),
            });
        }
        "classes" => return Some("`tidegate get class` shows those that there are".into()),
        "reservations" | "projects" => {
            return Some("`tidegate ls --closed` shows those that are still known".into());
        }
        "sessions" => return Some("`tidegate sessions --ended` shows those still known".into()),
        "maintenances" => return Some("`tidegate maintenance ls` shows what is planned".into()),
        _ => {}
    }
    // Only an advice: if the broker does not answer this, the error stands for itself.
    let names = names(client).await.ok()?;
    if names.is_empty() {
        return Some(
            "there is no topology yet: `tidegate apply topology FILE` declares one".into(),
        );
    }
    // It is there, but is no lane: its lanes are.
    let below = format!("{what}/");
    let lanes = names.iter().filter(|name| name.starts_with(&below)).take(LANES_MAX);
    let lanes: Vec<&str> = lanes.map(String::as_str).collect();
    if names.contains(what) && !lanes.is_empty() {
        return Some(format!("name one of its lanes: {}", lanes.join(", ")));
    }
    Some(match nearest(what, &names) {
        Some(name) => format!("did you mean {name}?"),
        None => "`tidegate lanes` shows what there is".into(),
    })
}

/// So many lanes of a resource are named.
const LANES_MAX: usize = 4;

/// So many projects are looked through for the one that was meant.
const PROJECTS_MAX: usize = 10_000;

/// The projects that there are, by their full names.
async fn projects(client: &Client) -> Result<BTreeSet<String>, ClientError> {
    let (mut names, mut token) = (BTreeSet::new(), String::new());
    while names.len() < PROJECTS_MAX {
        let (page, _) = client.list_projects(1000, &token).await?;
        names.extend(page.items.iter().map(|it| format!("projects/{}", it.project.id)));
        // A page that asks for itself would keep this loop alive forever.
        if page.next_page_token.is_empty() || page.next_page_token == token {
            break;
        }
        token = page.next_page_token;
    }
    Ok(names)
}

/// Everything that has a name: resources, and lanes.
async fn names(client: &Client) -> Result<BTreeSet<String>, ClientError> {
    let topology = client.export_topology().await?;
    let mut names: BTreeSet<String> = BTreeSet::new();
    for host in &topology.hosts {
        names.insert(format!("hosts/{}", host.name));
        names.extend(host.nics.iter().map(|nic| format!("hosts/{}/nics/{}", host.name, nic.name)));
    }
    names.extend(topology.storage.iter().map(|one| format!("storage/{}", one.name)));
    names.extend(topology.links.iter().map(|one| format!("links/{}", one.name)));
    names.extend(topology.switches.iter().map(|one| format!("switches/{}", one.name)));
    names.extend(client.list_lanes(None).await?.into_iter().map(|lane| lane.name));
    Ok(names)
}

/// How much of a name may be wrong, in steps of a mistyped key for each character.
const WRONG_MAX: usize = 3;

/// The name that takes the fewest keys to be typed right, if that is but a few. The right name in
/// the wrong collection is nearest of all.
fn nearest<'a>(what: &str, names: &'a BTreeSet<String>) -> Option<&'a str> {
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let keys = |name: &&str| {
        if last(name) == last(what) { 0 } else { strsim::damerau_levenshtein(name, what) }
    };
    let best = names.iter().map(String::as_str).min_by_key(keys)?;
    let wrong = keys(&best);
    (wrong * WRONG_MAX <= last(what).len().max(WRONG_MAX)).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["hosts/compute-1", "hosts/compute-2", "storage/images", "links/a--b"];
        let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let table = [
            ("storage/imags", Some("storage/images")),
            ("hosts/images", Some("storage/images")),
            ("hosts/compute2", Some("hosts/compute-2")),
            ("links/b", None),
            ("storage/zebra", None),
        ];
        for (what, expected) in table {
            assert_eq!(nearest(what, &names), expected, "{what}");
        }
    }
}
