//! What `deploy/` ships: every metric that alerts and the dashboard name exists in a real scrape, every
//! alert is tested and explained, and the configuration says the defaults.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/scrape.rs"]
#[allow(dead_code, reason = "a module of several tests")]
mod scrape;
mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use scrape::Scrape;
use support::{GBIT, Served, lab, topology};
use tidegate_broker::Config;
use tidegate_broker::config::JournalPlace;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every word that begins as our metrics do.
fn metrics(text: &str) -> BTreeSet<&str> {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !inner(c));
    // A crate is no metric: what to log is said by it.
    let is_metric = |word: &&str| word.starts_with("tidegate_") && *word != "tidegate_broker";
    words.filter(is_metric).collect()
}

/// The names of the alerts.
fn alerts(rules: &str) -> BTreeSet<&str> {
    rules.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_is_named_exists() {
    let served = Served::in_memory().await;
    served.clients.apply(topology(GBIT)).await;
    served.clients.govern(vec![lab(GBIT)]).await;
    let scrape = Scrape::of(&served.address()).await;
    let exist = scrape.names();
    for (path, least) in [
        ("deploy/prometheus/rules.yml", 10),
        ("deploy/prometheus/rules_test.yml", 10),
        ("deploy/grafana/tidegate.json", 25),
        ("docs/operating.md", 3),
    ] {
        let text = read(path);
        let named = metrics(&text);
        assert!(least <= named.len(), "{path} names {named:?}");
        for metric in named {
            assert!(exist.contains(metric), "{path} names {metric}, which is not in {exist:#?}");
        }
    }
    served.stop().await;
}

#[test]
fn every_alert_is_tested_and_explained() {
    let (rules, tests, docs) = (
        read("deploy/prometheus/rules.yml"),
        read("deploy/prometheus/rules_test.yml"),
        read("docs/operating.md"),
    );
    let alerts = alerts(&rules);
    assert!(10 <= alerts.len(), "{alerts:?}");
    for alert in &alerts {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} is never to fire");
        assert!(tests.contains(&format!("alertname: {alert},")), "{alert} is always to fire");
        assert!(docs.contains(&format!("| `{alert}` |")), "{alert} is not explained");
    }
    let explained = docs.lines().filter_map(|line| line.strip_prefix("| `Tidegate"));
    for line in explained {
        let name = format!("Tidegate{}", line.split('`').next().unwrap());
        assert!(alerts.contains(name.as_str()), "{name} is explained and is no alert");
    }
}

#[test]
fn the_dashboard_is_sound() {
    let text = read("deploy/grafana/tidegate.json");
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|it| it["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    for panel in panels {
        let targets = panel["targets"].as_array().unwrap();
        let asks = |it: &serde_json::Value| !metrics(it["expr"].as_str().unwrap()).is_empty();
        assert!(!targets.is_empty() && targets.iter().all(asks), "{panel}");
    }
}

#[test]
fn the_configuration_says_the_defaults() {
    let path = root().join("deploy/tidegated.toml");
    let config = Config::read(&path).unwrap();
    let expected = Config {
        listen: "127.0.0.1:7411".parse().unwrap(),
        ..Config::ephemeral(JournalPlace::Directory("/var/lib/tidegate/journal".into()))
    };
    assert_eq!(config, expected);
    // What is commented out says what holds without it, and nothing is missing.
    let text = read("deploy/tidegated.toml");
    let is_setting = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let said =
        text.lines().map(|line| line.strip_prefix('#').filter(|it| is_setting(it)).unwrap_or(line));
    let said: Vec<&str> = said.collect();
    let dir = tempfile::tempdir().unwrap();
    let all = dir.path().join("tidegated.toml");
    std::fs::write(&all, said.join("\n")).unwrap();
    assert_eq!(Config::read(&all).unwrap(), expected);
    let settings = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| is_setting(line));
        lines.map(|line| line.split(" = ").next().unwrap().to_owned()).collect()
    };
    assert_eq!(settings(&said.join("\n")), settings(&expected.to_string()));
}

#[test]
fn the_unit_starts_what_is_installed() {
    let unit = read("deploy/tidegated.service");
    let start = "ExecStart=/usr/bin/tidegated serve --config /etc/tidegate/tidegated.toml\n";
    assert!(unit.contains(start) && unit.contains("Type=notify\n"), "{unit}");
    assert!(
        unit.contains("\nWatchdogSec=60\n") && unit.contains("StateDirectory=tidegate\n"),
        "{unit}"
    );
}
