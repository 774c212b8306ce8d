//! From TOML to the wire: every fault of a file, and where each field of the wire stands in it.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use tidegate_policy::{Mark, MarkKind, ParseError};
use tidegate_proto::v1;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::words::{Percent, Place, Rate, Ratio, Word};

/// What was found so far.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) faults: Vec<(Range<usize>, String)>,
    /// By the path of its field on the wire, such as `topology.links[3].to`.
    pub(super) places: BTreeMap<String, Range<usize>>,
}

/// What a value of TOML is, with its span.
type Value<'t> = Spanned<DeValue<'t>>;

/// One table of the file while it is read.
struct Table<'r, 't> {
    reader: &'r mut Reader,
    table: &'t DeTable<'t>,
    span: Range<usize>,
    /// Its path on the wire.
    at: String,
    known: Vec<&'static str>,
}

pub(super) fn read(text: &str) -> (v1::Topology, Reader) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader::default();
    for error in errors {
        reader.faults.push((error.span().unwrap_or(0..0), error.message().to_owned()));
    }
    // What else could be said about a text that is no TOML would be guesses.
    if !reader.faults.is_empty() {
        return (v1::Topology::default(), reader);
    }
    let span = document.span();
    let mut file = Table::new(&mut reader, document.get_ref(), span, "topology".into());
    let topology = v1::Topology {
        hosts: file.tables(("host", "hosts"), host),
        switches: file.tables(("switch", "switches"), |table| v1::Switch {
            name: table.word("name", "name"),
        }),
        links: file.tables(("link", "links"), link),
        storage: file.tables(("storage", "storage"), storage),
        routes: file.tables(("route", "routes"), route),
        steerings: file.tables(("steering", "steerings"), steering),
        version: 0,
    };
    file.finish();
    (topology, reader)
}

impl<'r, 't> Table<'r, 't> {
    fn new(reader: &'r mut Reader, table: &'t DeTable<'t>, span: Range<usize>, at: String) -> Self {
        reader.places.insert(at.clone(), span.clone());
        Self { reader, table, span, at, known: Vec::new() }
    }

    fn fault(&mut self, span: Range<usize>, why: impl Into<String>) {
        self.reader.faults.push((span, why.into()));
    }

    /// What is about the table as a whole.
    fn whole(&mut self, why: impl Into<String>) {
        self.fault(self.span.clone(), why);
    }

    /// A field of the wire stands there.
    fn place(&mut self, wire: &str, span: Range<usize>) {
        self.reader.places.insert(format!("{}.{wire}", self.at), span);
    }

    fn get(&mut self, key: &'static str) -> Option<&'t Value<'t>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let mut entries = self.table.iter();
        entries.find(|(known, _)| known.get_ref() == key).map(|(_, value)| value)
    }

    /// Whether a key is there at all.
    fn has(&self, key: &str) -> bool {
        self.table.iter().any(|(known, _)| known.get_ref() == key)
    }

    /// A value that is written as text.
    fn text<T>(
        &mut self,
        (key, wire): (&'static str, &str),
        read: impl Fn(String) -> Result<T, ParseError>,
    ) -> Option<T> {
        let value = self.get(key)?;
        self.place(wire, value.span());
        self.text_of(value, read)
    }

    fn text_of<T>(
        &mut self,
        value: &Value<'_>,
        read: impl Fn(String) -> Result<T, ParseError>,
    ) -> Option<T> {
        let Some(text) = value.get_ref().as_str() else {
            let found = value.get_ref().type_str();
            self.fault(value.span(), format!("it is of type {found}; write a string, in quotes"));
            return None;
        };
        read(text.to_owned()).map_err(|error| self.fault(value.span(), error.to_string())).ok()
    }

    /// A value that must be there.
    fn required(&mut self, key: &'static str) {
        if !self.has(key) {
            self.whole(format!("it has no `{key}`; add it"));
        }
    }

    fn word(&mut self, key: &'static str, wire: &str) -> String {
        self.required(key);
        self.text((key, wire), Word::try_from).map(String::from).unwrap_or_default()
    }

    fn node(&mut self, key: &'static str) -> String {
        self.required(key);
        self.text((key, key), Place::try_from).map(String::from).unwrap_or_default()
    }

    fn number(
        &mut self,
        (key, wire): (&'static str, &str),
        within: RangeInclusive<i32>,
    ) -> Option<i32> {
        let value = self.get(key)?;
        self.place(wire, value.span());
        let number = value.get_ref().as_integer();
        let number = number.and_then(|it| i32::from_str_radix(it.as_str(), it.radix()).ok());
        let number = number.filter(|number| within.contains(number));
        if number.is_none() {
            let (least, most) = within.into_inner();
            let why =
                format!("{key}: write a whole number from {least} to {most}, or leave it out");
            self.fault(value.span(), why);
        }
        number
    }

    /// A list of texts.
    fn list<T>(
        &mut self,
        (key, wire): (&'static str, &str),
        read: impl Fn(&mut Self, &'t Value<'t>) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = self.get(key) else { return Vec::new() };
        self.place(wire, value.span());
        let Some(entries) = value.get_ref().as_array() else {
            self.fault(value.span(), format!("{key}: write a list, in brackets"));
            return Vec::new();
        };
        let mut list = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            self.place(&format!("{wire}[{index}]"), entry.span());
            list.extend(read(self, entry));
        }
        list
    }

    fn words(&mut self, key: &'static str, wire: &str) -> Vec<String> {
        let word = |table: &mut Self, entry| table.text_of(entry, Word::try_from);
        self.list((key, wire), word).into_iter().map(String::from).collect()
    }

    /// The tables under one name.
    fn tables<T>(
        &mut self,
        (key, wire): (&'static str, &str),
        read: impl Fn(&mut Table<'_, 't>) -> T,
    ) -> Vec<T> {
        self.list((key, wire), |list, entry| {
            let Some(table) = entry.get_ref().as_table() else {
                list.fault(entry.span(), format!("{key}: write a table"));
                return None;
            };
            // The list has just said where this entry stands on the wire.
            let index = list.index_of(wire, &entry.span());
            let at = format!("{}.{wire}[{index}]", list.at);
            let mut table = Table::new(list.reader, table, entry.span(), at);
            let value = read(&mut table);
            table.finish();
            Some(value)
        })
    }

    fn index_of(&self, wire: &str, span: &Range<usize>) -> usize {
        let at = |index: usize| self.reader.places.get(&format!("{}.{wire}[{index}]", self.at));
        (0..)
            .take_while(|index| at(*index).is_some())
            .find(|index| at(*index) == Some(span))
            .unwrap_or(0)
    }

    /// What is left over.
    fn finish(self) {
        for (key, _) in self.table.iter() {
            if !self.known.contains(&key.get_ref().as_ref()) {
                let known = self.known.join(", ");
                let why = format!("unknown field `{}`; write one of {known}", key.get_ref());
                self.reader.faults.push((key.span(), why));
            }
        }
    }

    /// The three ways to say a capacity, and what goes with it.
    fn capacity(&mut self, (out, back): (&'static str, &'static str)) -> Option<v1::Capacity> {
        // Both directions stand where one word says them.
        if let Some(value) = self.get("capacity") {
            self.place("capacity.in_bps", value.span());
        }
        let mut rate = |key, wire: &str| {
            let wire = format!("capacity.{wire}");
            self.text((key, &wire), Rate::try_from).map(|rate| rate.0)
        };
        let both = rate("capacity", "out_bps");
        let (one, other) = (rate(out, "out_bps"), rate(back, "in_bps"));
        let total = rate("total", "total_bps");
        let said = ["capacity", out, back].map(|key| self.has(key));
        match said {
            [true, false, false] | [false, true, true] => {}
            [true, ..] => {
                self.whole(format!("capacity says both directions; leave {out} and {back} out"));
            }
            [false, ..] => self.whole(format!("give capacity, or both {out} and {back}")),
        }
        let reserved = self.text(("reserved", "capacity.reserved_ppm"), Percent::try_from);
        let ratio = ("allocation_ratio", "capacity.allocation_ratio_ppm");
        Some(v1::Capacity {
            out_bps: both.or(one).unwrap_or(0),
            in_bps: other.unwrap_or(0),
            total_bps: total.unwrap_or(0),
            reserved_ppm: reserved.map(|percent| percent.0),
            allocation_ratio_ppm: self.text(ratio, Ratio::try_from).map(|ratio| ratio.0),
        })
    }

    fn framing(&mut self) -> Option<v1::Framing> {
        let mtu = self.number(("mtu", "framing.mtu_bytes"), 576..=65535);
        let overhead = self.text(("overhead", "framing.overhead_ppm"), Percent::try_from);
        let said = mtu.is_some() || overhead.is_some();
        said.then(|| v1::Framing {
            overhead_ppm: overhead.map(|percent| percent.0),
            mtu_bytes: mtu.unwrap_or(0),
        })
    }
}

fn host(table: &mut Table<'_, '_>) -> v1::Host {
    v1::Host { name: table.word("name", "name"), nics: table.tables(("nic", "nics"), nic) }
}

fn nic(table: &mut Table<'_, '_>) -> v1::Nic {
    v1::Nic {
        name: table.word("name", "name"),
        switch: table.word("switch", "switch"),
        capacity: table.capacity(("egress", "ingress")),
        framing: table.framing(),
    }
}

fn link(table: &mut Table<'_, '_>) -> v1::Link {
    v1::Link {
        name: table.word("name", "name"),
        from: table.word("from", "from"),
        to: table.word("to", "to"),
        capacity: table.capacity(("forward", "reverse")),
        framing: table.framing(),
        cost: table.number(("cost", "cost"), 1..=1_000_000).unwrap_or(0),
        bundle: bundle(table),
    }
}

fn bundle(table: &mut Table<'_, '_>) -> Option<v1::Bundle> {
    let value = table.get("bundle")?;
    let Some(inner) = value.get_ref().as_table() else {
        table.fault(value.span(), "bundle: write a table, such as { links = 4 }");
        return None;
    };
    let at = format!("{}.bundle", table.at);
    let mut table = Table::new(table.reader, inner, value.span(), at);
    table.required("links");
    let bundle = v1::Bundle {
        members: table.number(("links", "members"), 2..=1024).unwrap_or(0),
        ecmp_share_ppm: table.text(("share", "ecmp_share_ppm"), Percent::try_from).map(|it| it.0),
        streams_min: table.number(("streams", "streams_min"), 1..=65535).unwrap_or(0),
    };
    table.finish();
    Some(bundle)
}

fn storage(table: &mut Table<'_, '_>) -> v1::Storage {
    use v1::storage::Place;
    let name = table.word("name", "name");
    let host = table.text(("host", "host"), Word::try_from).map(String::from);
    let switch = table.text(("switch", "switch"), Word::try_from).map(String::from);
    if table.has("host") == table.has("switch") {
        table.whole("say either host or switch: where it stands");
    }
    v1::Storage {
        name,
        place: host.map(Place::Host).or(switch.map(Place::Switch)),
        capacity: table.capacity(("read", "write")),
        served_via: table.words("served_via", "served_via"),
        mirrors: table.words("mirrors", "mirrors"),
        tier: table.text(("tier", "tier"), Word::try_from).map(String::from).unwrap_or_default(),
    }
}

fn route(table: &mut Table<'_, '_>) -> v1::Route {
    table.required("links");
    v1::Route {
        from: table.node("from"),
        to: table.node("to"),
        links: table.words("links", "links"),
    }
}

/// The kinds of marks: as they are called in a file and on the wire.
const MARKS: [(&str, MarkKind, v1::mark::Kind); 3] = [
    ("source", MarkKind::SourceAddress, v1::mark::Kind::SourceAddress),
    ("dscp", MarkKind::Dscp, v1::mark::Kind::Dscp),
    ("vlan", MarkKind::Vlan, v1::mark::Kind::Vlan),
];

fn steering(table: &mut Table<'_, '_>) -> v1::Steering {
    use v1::steering::How;
    let (from, to) = (table.node("from"), table.node("to"));
    table.required("paths");
    let paths = table.number(("paths", "paths"), 2..=4).unwrap_or(0);
    let mut hows: Vec<How> = Vec::new();
    for (key, kind, wire) in MARKS {
        if table.has(key) {
            let values = table.list((key, "marks.values"), |table, entry| {
                let mark = |text: &str| Mark::new(kind, text);
                match entry.get_ref().as_integer() {
                    // Numbers are written as such, addresses as text.
                    Some(number) if kind != MarkKind::SourceAddress => mark(number.as_str())
                        .map_err(|error| table.fault(entry.span(), error.to_string()))
                        .ok(),
                    _ => table.text_of(entry, |text| mark(&text)),
                }
            });
            let values = values.iter().map(|mark| mark.value().to_owned()).collect();
            hows.push(How::Marks(v1::Marks { kind: wire.into(), values }));
        } else {
            table.known.push(key);
        }
    }
    let controller = table.text(("controller", "controller"), Word::try_from);
    hows.extend(controller.map(|name| How::Controller(name.into())));
    let said = MARKS.iter().filter(|(key, ..)| table.has(key)).count();
    if said + usize::from(table.has("controller")) != 1 {
        let why = "say who chooses the path, once: source, dscp or vlan with one value for each \
                   path, or a controller";
        table.whole(why);
    }
    v1::Steering { from, to, paths, how: hows.into_iter().next() }
}
