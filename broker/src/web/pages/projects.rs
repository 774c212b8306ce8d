//! *Who?*: who was promised most, who used most, who wasted most, and how near each is to its quotas.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use tidegate_proto::v1;
use tidegate_proto::v1::list_top_consumers_request::{GroupBy, Order};
use tidegate_proto::v1::policy_service_server::PolicyService;
use tidegate_proto::v1::report_service_server::ReportService;
use tonic::{Request, Status};

use crate::rpc::Rpc;
use crate::web::ask::Asked;
use crate::web::draw::bars::{Part, bar};
use crate::web::frame::{self, Page, Place};
use crate::web::{json, limits, say};

/// How many a page has, and may have at most.
const PROJECTS: i32 = 20;
const PROJECTS_MAX: i32 = 100;
const RANGES: [(&str, &str, &str); 4] = [
    ("Past hour", "-1h", ""),
    ("Past day", "", ""),
    ("Past week", "-7d", ""),
    ("Past 30 days", "-30d", ""),
];

pub(super) async fn page(State(rpc): State<Rpc>, asked: Asked) -> Response {
    frame::answer(&asked, make(&rpc, &asked).await)
}

async fn make(rpc: &Rpc, asked: &Asked) -> Result<Response, Status> {
    let mut read = asked.read(rpc.clock.now());
    let order = match read.one_of("by", &["used", "promised", "wasted"]) {
        "promised" => Order::Promised,
        "wasted" => Order::Wasted,
        _ => Order::Unspecified,
    };
    let group_by = match read.one_of("of", &["projects", "classes"]) {
        "classes" => GroupBy::Class,
        _ => GroupBy::Unspecified,
    };
    let request = v1::ListTopConsumersRequest {
        selector: asked.word("selector").into(),
        start_time: read.time("from"),
        end_time: read.time("to"),
        group_by: group_by.into(),
        order: order.into(),
        page_size: read.number("size", PROJECTS, PROJECTS_MAX),
        page_token: asked.word("page").into(),
    };
    let now = say::ms(&crate::convert::reply::time(rpc.clock.now()));
    let shown = rpc.list_top_consumers(Request::new(read.finish(request)?)).await?.into_inner();
    if asked.is_json() {
        return json::response("ListTopConsumersResponse", &shown);
    }
    let mut tightest = Vec::new();
    for consumer in &shown.consumers {
        let name = consumer.name.clone();
        let asked = rpc.get_effective_policy(Request::new(v1::GetEffectivePolicyRequest { name }));
        // A project may be gone since, and a class has no quotas of this kind.
        let limits = asked.await.map(|it| it.into_inner().limits).unwrap_or_default();
        tightest.push(limits::tightest(&limits).cloned());
    }
    Ok(drawn(asked, &shown, &tightest, now).response(asked))
}

/// The page of an answer; beside each consumer the limit that it is nearest to.
pub(in crate::web) fn drawn(
    asked: &Asked,
    shown: &v1::ListTopConsumersResponse,
    tightest: &[Option<v1::EffectiveLimit>],
    now: i64,
) -> Page {
    let body = html! {
        (frame::ranges(asked, &RANGES))
        (asking(asked))
        @if shown.consumers.is_empty() {
            p.empty { "Nobody was promised anything in this range." }
        } @else {
            (legend())
            (frame::table(
                "Consumers, the most first",
                &["Who", "Of what was promised", "#Promised", "#Used", "#Wasted", "#Not reported",
                    "#Granted", "#Refused", "Nearest limit"],
                &rows(shown, tightest),
            ))
            (frame::pager(asked, &shown.next_page_token))
        }
    };
    let flags = [("selector", "--lane"), ("from", "--from"), ("to", "--to"), ("by", "--by")];
    let class = if asked.word("of") == "classes" { " --class" } else { "" };
    Page {
        place: Place::Who,
        question: "Who has it?".into(),
        about: None,
        answer: answer(shown, now),
        body,
        command: asked.command("tidegate report top", &flags) + class,
        now_ms: now,
        refresh: Some(60),
    }
}

fn asking(asked: &Asked) -> Markup {
    let order = [("", "used most"), ("promised", "promised most"), ("wasted", "wasted most")];
    let fields = html! {
        (frame::field(asked, ("selector", "On lanes"), "everywhere"))
        (frame::field(asked, ("from", "From"), "-24h"))
        (frame::field(asked, ("to", "To"), "now"))
        (frame::choice(asked, ("by", "First"), &order))
        (frame::choice(asked, ("of", "Of"), &[("", "projects"), ("classes", "classes")]))
    };
    frame::form(asked, &fields)
}

fn answer(shown: &v1::ListTopConsumersResponse, now: i64) -> Markup {
    let total = shown.total.unwrap_or_default();
    let first = shown.consumers.first();
    html! {
        "Since " (say::time(shown.start_time.as_ref(), now)) ", "
        (say::bytes(total.promised_bytes)) " was promised and "
        strong { (say::bytes(total.used_bytes)) " used" }
        @if 0 < total.wasted_bytes {
            "; " (say::bytes(total.wasted_bytes)) " was promised to holders that report, and not moved"
        }
        ". "
        @if let Some((first, had)) = first.and_then(|it| Some((it, it.consumption?))) {
            (say::name(&first.name)) " is first, with " (say::bytes(had.used_bytes)) " of "
            (say::bytes(had.promised_bytes)) " used."
        }
    }
}

/// What bars are made of.
pub(in crate::web) fn legend() -> Markup {
    let parts = [
        ("used-part", "used"),
        ("wasted-part", "promised to holders that report, and not moved"),
        ("unreported-part", "nobody reports"),
    ];
    html! {
        ul.legend aria-label="Legend" {
            @for (class, told) in parts {
                li {
                    svg.swatch width="14" height="14" aria-hidden="true" {
                        rect.(class) width="14" height="14" {}
                    }
                    (told)
                }
            }
        }
    }
}

/// What somebody had, as a bar: as long as `most` is the whole width.
pub(in crate::web) fn had(it: &v1::Consumption, most: i64) -> Markup {
    let parts = [
        Part { class: "used-part", amount: it.used_bytes },
        Part { class: "wasted-part", amount: it.wasted_bytes },
        Part { class: "unreported-part", amount: it.unreported_bytes },
    ];
    let told = format!(
        "{} used, {} wasted, {} not reported",
        say::bytes_text(it.used_bytes),
        say::bytes_text(it.wasted_bytes),
        say::bytes_text(it.unreported_bytes),
    );
    bar(&parts, most, &told)
}

/// How long the longest bar is.
pub(in crate::web) fn longest<'a>(all: impl Iterator<Item = &'a v1::Consumer>) -> i64 {
    let whole = |it: &v1::Consumption| {
        let parts = [it.used_bytes, it.wasted_bytes, it.unreported_bytes];
        parts.into_iter().fold(0_i64, i64::saturating_add).max(it.promised_bytes)
    };
    all.filter_map(|it| it.consumption.as_ref().map(whole)).max().unwrap_or(0).max(1)
}

/// The numbers of what somebody had, as cells of a row.
pub(in crate::web) fn numbers(it: &v1::Consumption) -> Markup {
    html! {
        td.number { (say::bytes(it.promised_bytes)) }
        td.number { (say::bytes(it.used_bytes)) }
        td.number { (say::bytes(it.wasted_bytes)) }
        td.number { (say::bytes(it.unreported_bytes)) }
        td.number { (say::count(it.granted_count)) }
        td.number { (say::count(it.refused_count)) }
    }
}

fn rows(shown: &v1::ListTopConsumersResponse, tightest: &[Option<v1::EffectiveLimit>]) -> Markup {
    let most = longest(shown.consumers.iter());
    let limits = tightest.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    html! {
        @for (consumer, limit) in shown.consumers.iter().zip(limits) {
            @let it = consumer.consumption.unwrap_or_default();
            tr {
                td.first { (who(&consumer.name)) }
                td.wide { (had(&it, most)) }
                (numbers(&it))
                td.wide {
                    @match limit {
                        Some(limit) => (limits::short(limit)),
                        None => span.none { "\u{2013}" },
                    }
                }
            }
        }
    }
}

/// A consumer; what was not kept apart has no page.
pub(in crate::web) fn who(name: &str) -> Markup {
    html! {
        @match name {
            "projects/-" => "all others, too many to keep apart",
            "classes/-" => "no class",
            name if name.starts_with("projects/") => (say::name(name)),
            name => (say::short(name)),
        }
    }
}
