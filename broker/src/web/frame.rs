//! What every page has: the question as its head, the answer in words, the picture and the table, the
//! command that shows the same, its JSON; and the headers that keep it to itself.

use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use maud::{DOCTYPE, Markup, html};
use tonic::Status;
use tonic_types::StatusExt;

use super::ask::Asked;
use super::assets::ASSETS;
use super::{draw, json, say};
use crate::status;

/// Nothing but what this port serves is loaded, framed, or sent anything.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// Which page it is among those that are always linked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Fine,
    Who,
    Refusals,
    Forecast,
    Reservations,
    Events,
    /// One that is reached from others.
    Inner,
}

const PLACES: [(Place, &str, &str); 6] = [
    (Place::Fine, "/", "Am I fine?"),
    (Place::Who, "/projects", "Who?"),
    (Place::Refusals, "/refusals", "Why no?"),
    (Place::Forecast, "/forecast", "When full?"),
    (Place::Reservations, "/reservations", "Reservations"),
    (Place::Events, "/events", "Live"),
];

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) place: Place,
    /// The question.
    pub(super) question: String,
    /// What it is about, where that is one thing of many.
    pub(super) about: Option<Markup>,
    /// The answer in words.
    pub(super) answer: Markup,
    pub(super) body: Markup,
    /// What shows the same on a terminal.
    pub(super) command: String,
    pub(super) now_ms: i64,
    /// How often the script asks for it again, in seconds; never where it is `None`.
    pub(super) refresh: Option<u32>,
}

impl Page {
    pub(super) fn response(self, asked: &Asked) -> Response {
        Html(self.markup(asked).into_string()).into_response()
    }

    pub(super) fn markup(&self, asked: &Asked) -> Markup {
        let foot = html! {
            footer.foot {
                dl {
                    div { dt { "The same on a terminal" } dd { code { (self.command) } } }
                    div {
                        dt { "For programs" }
                        dd { a href=(asked.with(&[("format", "json")])) { "JSON" } }
                    }
                    div {
                        dt { "As of" }
                        dd { (say::clock_time(self.now_ms)) " UTC, as are all times here" }
                    }
                }
            }
        };
        let main = html! {
            main id="main" tabindex="-1" data-refresh=[self.refresh] {
                h1 { (self.question) }
                @if let Some(about) = &self.about { p.about { (about) } }
                p.answer { (self.answer) }
                (self.body)
                (foot)
            }
        };
        document(self.place, &self.question, &main)
    }
}

fn document(place: Place, title: &str, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " \u{b7} Tidegate" }
                link rel="stylesheet" href=(ASSETS.style);
                link rel="icon" type="image/svg+xml" href=(ASSETS.icon);
                script type="module" src=(ASSETS.script) {}
            }
            body {
                a.skip href="#main" { "Skip to the answer" }
                header.head {
                    a.brand href="/" aria-label="Tidegate" {
                        img src=(ASSETS.icon) alt="" width="24" height="24";
                        span aria-hidden="true" { "Tidegate" }
                    }
                    nav aria-label="Questions" {
                        ul {
                            @for (at, href, name) in PLACES {
                                li {
                                    a href=(href) aria-current=[(at == place).then_some("page")] {
                                        (name)
                                    }
                                }
                            }
                        }
                    }
                }
                (draw::patterns())
                (main)
            }
        }
    }
}

/// The page of a failure: what is wrong, and a way back.
pub(super) fn failure(asked: &Asked, failed: &Status) -> Response {
    if asked.is_json() {
        return json::failure(failed);
    }
    let code = status::http(failed);
    let title = match code {
        StatusCode::BAD_REQUEST => "What was asked makes no sense",
        StatusCode::NOT_FOUND => "There is no such thing",
        _ => "This cannot be answered now",
    };
    let main = html! {
        main id="main" tabindex="-1" {
            h1 { (title) }
            ul.faults { @for line in lines(failed) { li { (line) } } }
            p {
                a href=(asked.path()) { "Ask again without anything" }
                " or go to the "
                a href="/" { "first page" }
                "."
            }
        }
    };
    let page = Html(document(Place::Inner, title, &main).into_string());
    (code, page).into_response()
}

/// A line for each field that is wrong, or all that is said.
fn lines(failed: &Status) -> Vec<String> {
    let fields = failed.get_details_bad_request();
    let fields = fields.into_iter().flat_map(|it| it.field_violations);
    let lines: Vec<String> = fields.map(|it| format!("{}: {}", it.field, it.description)).collect();
    if lines.is_empty() { vec![failed.message().to_owned()] } else { lines }
}

/// The answer of a page, or of what is wrong with its question.
pub(super) fn answer(asked: &Asked, made: Result<Response, Status>) -> Response {
    made.unwrap_or_else(|failed| failure(asked, &failed))
}

/// Puts the headers on that every answer has.
pub(super) async fn sealed(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    let always = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Only what is named by its content may be kept.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

/// A table that may be wider than its place: then it is moved by itself.
pub(super) fn table(caption: &str, head: &[&str], rows: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead {
                    tr {
                        @for (index, name) in head.iter().enumerate() {
                            th scope="col" .number[name.starts_with('#')] .first[index == 0] {
                                (name.trim_start_matches('#'))
                            }
                        }
                    }
                }
                tbody { (rows) }
            }
        }
    }
}

/// Links to the page before (the first one) and to the next.
pub(super) fn pager(asked: &Asked, next: &str) -> Markup {
    let first = !asked.word("page").is_empty();
    html! {
        @if first || !next.is_empty() {
            nav.pager aria-label="Pages" {
                @if first { a href=(asked.with(&[("page", "")])) rel="first" { "\u{2190} First page" } }
                @if !next.is_empty() {
                    a href=(asked.with(&[("page", next)])) rel="next" { "Next page \u{2192}" }
                }
            }
        }
    }
}

/// A word of the query as a field of a form.
pub(super) fn field(asked: &Asked, (name, label): (&str, &str), hint: &str) -> Markup {
    html! {
        label.field {
            span { (label) }
            input name=(name) value=(asked.word(name)) placeholder=(hint) autocomplete="off"
                spellcheck="false";
        }
    }
}

/// A choice of the query as a field of a form; the first is the usual one.
pub(super) fn choice(
    asked: &Asked,
    (name, label): (&str, &str),
    choices: &[(&str, &str)],
) -> Markup {
    let chosen = asked.word(name);
    html! {
        label.field {
            span { (label) }
            select name=(name) {
                @for (value, told) in choices {
                    option value=(value) selected[*value == chosen] { (told) }
                }
            }
        }
    }
}

/// A form that asks for the page anew.
pub(super) fn form(asked: &Asked, fields: &Markup) -> Markup {
    html! {
        form.ask method="get" action=(asked.path()) {
            (fields)
            button type="submit" { "Show" }
        }
    }
}

/// Links to ranges of time, the one that is shown marked.
pub(super) fn ranges(asked: &Asked, ranges: &[(&str, &str, &str)]) -> Markup {
    html! {
        ul.ranges aria-label="Range" {
            @for (told, from, to) in ranges {
                @let here = asked.word("from") == *from && asked.word("to") == *to;
                li {
                    a href=(asked.with(&[("from", from), ("to", to), ("bucket", ""), ("page", "")]))
                        aria-current=[here.then_some("true")] { (told) }
                }
            }
        }
    }
}
