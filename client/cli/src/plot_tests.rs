//! Pictures as documents: well formed, escaped, and exactly as they are to be.

use tidegate_policy::Timestamp;

use super::*;

const HOUR: i64 = 3_600_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms).unwrap()
}

fn steps(rates: &[u64]) -> Vec<Step> {
    let step = |(hour, high): (i64, &u64)| Step {
        start: hour * HOUR,
        end: (hour + 1) * HOUR,
        low: 0,
        high: *high,
    };
    (0..).zip(rates).map(step).collect()
}

fn chart(name: &str, shapes: Vec<Shape>) -> Chart {
    Chart {
        name: name.into(),
        note: "6Gbit/s can be booked; at most 66 % is".into(),
        start: at(0),
        end: at(6 * HOUR),
        now: at(3 * HOUR),
        shapes,
    }
}

fn picture(name: &str) -> Picture {
    const G: u64 = 1_000_000_000;
    let mut band = steps(&[2 * G, 3 * G, 4 * G, 4 * G]);
    band.iter_mut().for_each(|step| step.low = step.high / 2);
    let mut used = steps(&[G, 2 * G, 3 * G]);
    used.remove(1);
    let shapes = vec![
        Shape { ink: Ink::Band, steps: band },
        Shape { ink: Ink::Booked, steps: steps(&[2 * G, 2 * G, 4 * G]) },
        Shape { ink: Ink::Ahead, steps: steps(&[2 * G, 2 * G, 4 * G, G, 0, 0]).split_off(3) },
        Shape { ink: Ink::Capacity, steps: steps(&[6 * G, 6 * G, 6 * G, 6 * G, 3 * G, 6 * G]) },
        Shape { ink: Ink::Used, steps: used },
        Shape { ink: Ink::Observed, steps: Vec::new() },
    ];
    Picture {
        title: "Utilization".into(),
        description: format!("What is booked on {name}"),
        legend: vec![(Ink::Booked, "booked"), (Ink::Capacity, "can be booked")],
        charts: vec![chart(name, shapes)],
    }
}

/// The names of all elements, in the order in which they begin. Panics where it is no XML.
fn elements(document: &str) -> Vec<&str> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    let mut rest = document;
    while let Some((text, markup)) = rest.split_once('<') {
        assert!(!text.contains('>'), "a bracket in {text:?}");
        let entities = text.split('&').skip(1).map(|part| part.split_once(';').unwrap().0);
        for entity in entities {
            assert!(["amp", "lt", "gt", "quot", "#39"].contains(&entity), "&{entity};");
        }
        let (tag, after) = markup.split_once('>').unwrap();
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap();
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        all.push(name);
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest:?}");
    all
}

#[test]
fn a_picture_is_a_document_that_says_what_it_shows() {
    let drawn = svg(&picture("links/<a>&\"b\"'/forward\u{1}"));
    let elements = elements(&drawn);
    for expected in ["svg", "title", "desc", "style", "text", "path"] {
        assert!(elements.contains(&expected), "{expected} in {elements:?}");
    }
    let name = "links/&lt;a&gt;&amp;&quot;b&quot;&#39;/forward\u{fffd}";
    assert_eq!(drawn.matches(name).count(), 2, "{drawn}");
    for said in [">UTC<", ">2Gbit/s<", ">03:00<", ">1 Jan<", ">now<", "prefers-color-scheme:dark"] {
        assert!(drawn.contains(said), "{said} in {drawn}");
    }
}

#[test]
fn a_picture_is_exactly_this() {
    let drawn = svg(&picture("links/a/forward"));
    // Everything but the style, which is read by eye.
    let body = |text: &str| text.split("</style>").nth(1).unwrap().to_owned();
    let golden = include_str!("plot/golden.svg");
    for (now, golden) in body(&drawn).lines().zip(body(golden).lines()) {
        assert_eq!(now, golden);
    }
    assert_eq!(body(&drawn).lines().count(), body(golden).lines().count());
}

#[test]
fn lines_break_where_nothing_is_known_and_areas_have_two_ends() {
    let chart = chart("a", Vec::new());
    let frame = Frame::new(&chart, 95, (600, 100));
    let mut parts = steps(&[10, 10, 50, 0]);
    assert_eq!(line(&frame, &parts), "M0 90V90H200V50H300V100H400");
    assert_eq!(area(&frame, &parts), "M0 100V90H200V50H300V100H400V100H0z");
    parts.remove(1);
    assert_eq!(line(&frame, &parts), "M0 90V90H100M200 50V50H300V100H400");
    parts.truncate(1);
    parts[0].low = 5;
    assert_eq!(area(&frame, &parts), "M0 95V90H100V95H0z");
    assert_eq!([line(&frame, &[]), area(&frame, &[])], ["", ""]);
}

#[test]
fn nothing_at_all_is_a_picture_too() {
    let empty = Picture {
        title: "Utilization".into(),
        description: String::new(),
        legend: Vec::new(),
        charts: Vec::new(),
    };
    assert!(svg(&empty).contains("there is nothing to draw"));
    let mut idle = picture("links/a/forward");
    idle.charts[0].shapes.iter_mut().for_each(|shape| shape.steps.clear());
    // A rate of nothing, and a range that is none, still have axes.
    idle.charts[0].end = at(0);
    elements(&svg(&idle));
    let mut huge = picture("links/a/forward");
    huge.charts[0].shapes[0].steps[0].high = u64::MAX;
    elements(&svg(&huge));
}
