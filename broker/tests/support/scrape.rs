//! `/metrics`, asked over HTTP/1.1 and read as strictly as a test can: what it says, by name and labels.

use std::collections::{BTreeMap, BTreeSet};

use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prost::bytes::Bytes;

/// A page and its content type.
pub(crate) async fn get(address: &str, path: &str, accept: &str) -> (u16, String, String) {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request = http::Request::get(format!("{address}{path}")).header("accept", accept);
    let answer = client.request(request.body(Empty::new()).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type").map(|it| it.to_str().unwrap().to_owned());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, kind.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
}

/// What a scrape says.
#[derive(Debug, Default)]
pub(crate) struct Scrape {
    /// By name and labels, as they are written.
    samples: BTreeMap<String, f64>,
    /// The metrics that are declared, and their types.
    pub(crate) types: BTreeMap<String, String>,
}

impl Scrape {
    /// Scrapes a broker in the classic format.
    pub(crate) async fn of(address: &str) -> Self {
        let (status, kind, text) = get(address, "/metrics", "*/*").await;
        assert_eq!((status, kind.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
        Self::read(&text)
    }

    /// Reads the classic format, and accepts nothing that is not of it.
    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends too");
        let mut read = Self::default();
        let mut helped = BTreeSet::new();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(said) = line.strip_prefix("# HELP ") {
                let (name, help) = said.split_once(' ').unwrap();
                assert!(help.ends_with('.') && helped.insert(name.to_owned()), "{line}");
            } else if let Some(said) = line.strip_prefix("# TYPE ") {
                let (name, kind) = said.split_once(' ').unwrap();
                assert!(helped.contains(name), "help comes first: {line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                let old = read.types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(old, None, "a family is in one place: {line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                family = name.to_owned();
            } else {
                assert!(!line.starts_with('#'), "{line}");
                let (key, value) = line.rsplit_once(' ').unwrap();
                let name = key.split('{').next().unwrap();
                let histogram = read.types[&family] == "histogram";
                let parts = ["_bucket", "_sum", "_count"];
                let own = parts.iter().any(|part| name.strip_suffix(part) == Some(&family));
                assert!(if histogram { own } else { name == family }, "{line} is of {family}");
                assert!(name.starts_with("tidegate_") && labels_are_sound(key), "{line}");
                let old = read.samples.insert(key.to_owned(), value.parse().unwrap());
                assert_eq!(old, None, "said twice: {line}");
            }
        }
        read
    }

    /// One value, by its name and labels as they are written.
    pub(crate) fn value(&self, key: &str) -> f64 {
        *self.samples.get(key).unwrap_or_else(|| panic!("no {key} in {:#?}", self.samples))
    }

    /// The values of a metric by its only label.
    pub(crate) fn by_label(&self, name: &str) -> BTreeMap<String, f64> {
        let rows = self.samples.iter().filter_map(|(key, value)| {
            let labels = key.strip_prefix(name)?.strip_prefix('{')?.strip_suffix("\"}")?;
            Some((labels.split_once("=\"")?.1.to_owned(), *value))
        });
        rows.collect()
    }

    /// The names of all samples.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.samples.keys().map(|key| key.split('{').next().unwrap().to_owned()).collect()
    }
}

/// `name` or `name{label="value",…}`.
fn labels_are_sound(key: &str) -> bool {
    let Some((_, labels)) = key.split_once('{') else { return true };
    let Some(labels) = labels.strip_suffix('}') else { return false };
    labels.split(',').all(|label| {
        let parts = label.split_once("=\"").map(|(name, value)| (name, value.strip_suffix('"')));
        parts.is_some_and(|(name, value)| {
            let named = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            named && !name.is_empty() && value.is_some_and(|value| !value.contains(['"', '\\']))
        })
    })
}
