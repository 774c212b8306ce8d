//! `tidegate report`: what was booked, used, wasted and refused, and when lanes run full.

mod draw;
mod file;

use tidegate_client::error::ClientError;
use tidegate_client::report::{
    Consumer, ConsumerOrder, ConsumersAsk, ExportAsk, ExportFormat, ForecastAsk, GroupBy,
    LaneForecast, RefusalGroup, RefusalsAsk, Statement, StatementAsk, UtilizationAsk,
};
use tidegate_policy::{Selector, TimeText, Timestamp};

use super::Desk;
use crate::arguments::{
    Format, Past, RankBy, Report, ReportExport, ReportForecast, ReportRefusals, ReportStatement,
    ReportTop, ReportUtilization, is_now, is_relative,
};
use crate::exit::{Exit, Mistake};
use crate::output::{Sheet, hint, pass_on, say};
use crate::things::counted;
use crate::things::report::forecast::ForecastRow;
use crate::things::report::utilization::{BucketRow, LaneReport};
use crate::things::report::{consumers, forecast, statement, utilization};

use file::NewFile;

pub(super) async fn run(desk: &Desk, typed: Report) -> anyhow::Result<Exit> {
    match typed {
        Report::Utilization(typed) => utilized(desk, typed).await,
        Report::Top(typed) => top(desk, typed).await,
        Report::Refusals(typed) => refusals(desk, typed).await,
        Report::Forecast(typed) => expected(desk, typed).await,
        Report::Statement(typed) => stated(desk, typed).await,
        Report::Export(typed) => export(desk, typed).await,
    }
}

async fn utilized(desk: &Desk, typed: ReportUtilization) -> anyhow::Result<Exit> {
    let sheets = Sheets::<LaneReport, BucketRow>::new(desk)?;
    let file = NewFile::wanted(&typed.plot)?;
    let [start, end] = instants(desk, [typed.from, typed.to]).await?;
    let ask = UtilizationAsk {
        selector: typed.selector.clone(),
        start,
        end,
        bucket: typed.bucket,
        fullest: typed.fullest,
        count: typed.count,
    };
    let found = desk.client.utilization(&ask).await?;
    if found.lanes.is_empty() {
        no_lanes(desk, typed.selector.as_ref()).await?;
        if desk.printer.for_people() {
            return Ok(Exit::Done);
        }
    }
    let (count, bucket, now) = (found.lane_count, found.bucket, found.now);
    let range = format!("{} to {}", found.start, found.end);
    if let Some(file) = file {
        file.write(&draw::utilization(&found))?;
    }
    let lanes = utilization::lanes(found);
    let of_one = lanes.len() == 1;
    let findings = utilization::finding_lines(&lanes, desk.printer.style);
    if let Some(rows) = sheets.rows(of_one) {
        let all: Vec<BucketRow> = lanes.iter().flat_map(LaneReport::rows).collect();
        let of = lanes.first().filter(|_| of_one).map_or("", |it| it.lane.lane.as_str());
        let above = format!("{of} in pieces of {bucket}, {range}; now is {now}");
        rows.list_within(&above, &all, &findings)?;
    } else {
        let above = format!("lanes, {range}; │ is now, {now}");
        sheets.whole()?.list_within(&above, &lanes, &findings)?;
    }
    if desk.printer.for_people() {
        missing(&lanes);
        more(u64::try_from(lanes.len()).unwrap_or(u64::MAX) < count, lanes.len(), "lanes");
    }
    Ok(Exit::Done)
}

/// Says why there is little to be seen.
fn missing(lanes: &[LaneReport]) {
    if utilization::knows_no_past(lanes) {
        say("nothing is known of what was: the broker was not there, or does not keep so much");
    } else if utilization::is_idle(lanes) {
        say("nothing is booked on them in all this time, and nothing was moved");
        hint("--from -7days and --to +7days look further");
    }
}

async fn expected(desk: &Desk, typed: ReportForecast) -> anyhow::Result<Exit> {
    let sheets = Sheets::<LaneForecast, ForecastRow>::new(desk)?;
    let file = NewFile::wanted(&typed.plot)?;
    let [end] = instants(desk, [typed.to]).await?;
    let (selector, bucket, count) = (typed.selector.clone(), typed.bucket, typed.count);
    let found = desk.client.forecast(&ForecastAsk { selector, end, bucket, count }).await?;
    if found.lanes.is_empty() {
        no_lanes(desk, typed.selector.as_ref()).await?;
        if desk.printer.for_people() {
            return Ok(Exit::Done);
        }
    }
    if let Some(file) = file {
        file.write(&draw::forecast(&found))?;
    }
    let (lanes, bucket, now) = (&found.lanes, found.bucket, found.now);
    let end = lanes.first().and_then(|it| it.buckets.last()).map(|it| it.start.plus(bucket));
    let range = format!("{now} to {}", end.unwrap_or(now));
    let foot = forecast::foot(lanes, desk.printer.style);
    if let Some(rows) = sheets.rows(lanes.len() == 1) {
        let of = lanes.first().filter(|_| lanes.len() == 1).map_or("", |it| it.lane.as_str());
        let above = format!("what is expected of {of} in pieces of {bucket}, {range}");
        rows.list_within(&above, &forecast::rows(lanes, bucket), &foot)?;
    } else {
        let above = format!("what is expected to be booked, {range}");
        sheets.whole()?.list_within(&above, lanes, &foot)?;
    }
    more_told(desk, found.more, lanes.len(), "lanes");
    Ok(Exit::Done)
}

async fn top(desk: &Desk, typed: ReportTop) -> anyhow::Result<Exit> {
    let sheet: Sheet<Consumer> = desk.printer.sheet()?;
    let (start, end) = past(desk, &typed.past).await?;
    let ask = ConsumersAsk {
        selector: typed.lane.clone(),
        start,
        end,
        group_by: if typed.class { GroupBy::Class } else { GroupBy::Project },
        order: match typed.by {
            RankBy::Used => ConsumerOrder::Used,
            RankBy::Promised => ConsumerOrder::Promised,
            RankBy::Wasted => ConsumerOrder::Wasted,
        },
        count: typed.count,
    };
    let found = desk.client.top_consumers(&ask).await?;
    let range = format!("{} to {}", found.start, found.end);
    if found.consumers.is_empty() && desk.printer.for_people() {
        let on = typed.lane.as_ref().map_or(String::new(), |lanes| format!(" on {lanes}"));
        say(&format!("nothing was promised{on}, {range}"));
        hint("--from -7days looks further back");
        return Ok(Exit::Done);
    }
    let who = if typed.class { "classes" } else { "projects" };
    let on = match &typed.lane {
        Some(lanes) => format!(" on {lanes}, promised in bytes of the lanes"),
        None => String::new(),
    };
    let above = format!("{who}{on}, {range}");
    sheet.list_within(&above, &found.consumers, &consumers::foot(&found))?;
    more_told(desk, found.more, found.consumers.len(), who);
    Ok(Exit::Done)
}

async fn refusals(desk: &Desk, typed: ReportRefusals) -> anyhow::Result<Exit> {
    let sheet: Sheet<RefusalGroup> = desk.printer.sheet()?;
    let (start, end) = past(desk, &typed.past).await?;
    let bottleneck = typed.bottleneck.unwrap_or_default();
    let ask = RefusalsAsk { project: typed.project, start, end, bottleneck, count: typed.count };
    let found = desk.client.refusals(&ask).await?;
    let (refused, asked) = (found.refused, found.refused.saturating_add(found.granted));
    let range = format!("{} to {}", found.start, found.end);
    if found.groups.is_empty() && desk.printer.for_people() {
        let requests = counted(asked, "request");
        say(&format!("nothing was refused of this, {range}; {requests} in all, {refused} refused"));
        hint("--from -7days looks further back");
        return Ok(Exit::Done);
    }
    let above = format!("{refused} of {} refused, {range}", counted(asked, "request"));
    sheet.list_within(&above, &found.groups, &[])?;
    more_told(desk, found.more, found.groups.len(), "kinds of refusals");
    Ok(Exit::Done)
}

async fn stated(desk: &Desk, typed: ReportStatement) -> anyhow::Result<Exit> {
    let sheet: Sheet<Statement> = desk.printer.sheet()?;
    let (start, end) = past(desk, &Past { from: typed.from, to: typed.to }).await?;
    let ask = StatementAsk { project: typed.project, start, end, own_only: typed.own };
    let found = desk.client.usage_statement(&ask).await?;
    sheet.one_as(&found, |_| statement::words(&found, typed.own, &desk.printer))?;
    Ok(Exit::Done)
}

async fn export(desk: &Desk, typed: ReportExport) -> anyhow::Result<Exit> {
    if desk.printer.is_choosy() {
        let mistake = Mistake::new("an export has all that there is to say, without --columns");
        return Err(mistake
            .hint("`tidegate ls --closed --columns ...` lists what you choose")
            .into());
    }
    let format = match desk.printer.format {
        Format::Table | Format::Jsonl if !typed.csv => ExportFormat::JsonLines,
        Format::Table | Format::Csv if !typed.jsonl => ExportFormat::Csv,
        _ => {
            let mistake = Mistake::new("an export is lines, and its format can be said once only");
            return Err(mistake.hint("write --csv or --jsonl").into());
        }
    };
    let (start, end) = past(desk, &typed.past).await?;
    let filter = typed.filter.unwrap_or_default();
    let ask = ExportAsk { project: typed.project, start, end, format, filter };
    let mut file = desk.client.export_reservations(&ask).await?;
    let mut count: u64 = 0;
    while let Some(piece) = file.next().await {
        let piece = piece?;
        pass_on(&piece.data)?;
        count = count.saturating_add(piece.reservations);
    }
    if count == 0 {
        say("no reservation was booked at any instant of that time");
        hint("--from -7days looks further back, --to +7days ahead");
    }
    Ok(Exit::Done)
}

/// A table of lanes, or one of the pieces of time of them, as the format wants it.
struct Sheets<W: 'static, R: 'static> {
    format: Format,
    whole: Result<Sheet<W>, Mistake>,
    rows: Result<Sheet<R>, Mistake>,
}

impl<W: crate::output::Thing, R: crate::output::Thing> Sheets<W, R> {
    /// Columns that neither of them has are found before anything is asked.
    fn new(desk: &Desk) -> Result<Self, Mistake> {
        let (whole, rows) = (desk.printer.sheet(), desk.printer.sheet());
        let format = desk.printer.format;
        match (format, whole, rows) {
            (Format::Csv, _, Err(wrong)) => Err(wrong),
            (Format::Csv | Format::Wide, whole, rows) if whole.is_ok() || rows.is_ok() => {
                Ok(Self { format, whole, rows })
            }
            (_, Err(wrong), _) => Err(wrong),
            (_, whole, rows) => Ok(Self { format, whole, rows }),
        }
    }

    /// Piece by piece: for CSV, whose lines hold no lists, and widely of one lane.
    fn rows(&self, of_one: bool) -> Option<&Sheet<R>> {
        match self.format {
            Format::Csv => self.rows.as_ref().ok(),
            Format::Wide if of_one || self.whole.is_err() => self.rows.as_ref().ok(),
            _ => None,
        }
    }

    fn whole(&self) -> Result<&Sheet<W>, Mistake> {
        self.whole.as_ref().map_err(Clone::clone)
    }
}

fn more(more: bool, shown: usize, what: &str) {
    if more {
        hint(&format!("there are more {what} than {shown}; --count shows as many as you say"));
    }
}

fn more_told(desk: &Desk, is: bool, shown: usize, what: &str) {
    more(is && desk.printer.for_people(), shown, what);
}

/// Says why there are no lanes: none is named so, or there are none at all.
async fn no_lanes(desk: &Desk, selector: Option<&Selector>) -> anyhow::Result<()> {
    let named = selector.map(Selector::as_str).filter(|it| it.contains('/') && !it.contains('*'));
    if let Some(what) = named {
        let why = "no lane is named so, or belongs to it".to_owned();
        return Err(ClientError::NotFound { what: what.to_owned(), why }.into());
    }
    if let Some(selector) = selector {
        say(&format!("{selector} means no lane"));
    }
    if desk.client.server_info().await?.lanes == 0 {
        hint("there is no topology yet: `tidegate apply topology FILE` declares one");
    } else {
        hint("`tidegate lanes` shows what there is");
    }
    Ok(())
}

/// The instants that were typed. Those before and after now are counted from that of the broker: the
/// clock of this machine may differ.
pub(super) async fn instants<const N: usize>(
    desk: &Desk,
    typed: [Option<TimeText>; N],
) -> anyhow::Result<[Option<Timestamp>; N]> {
    let relative = typed.iter().flatten().any(|text| is_relative(*text));
    let now = match relative {
        true => desk.client.server_info().await?.now,
        false => Timestamp::EPOCH,
    };
    let found = typed.map(|text| text.map(|text| text.at(now)));
    if let [Some(start), Some(end)] = found.as_slice()
        && end <= start
    {
        return Err(upside_down(*start, *end).into());
    }
    Ok(found)
}

fn upside_down(start: Timestamp, end: Timestamp) -> Mistake {
    Mistake::new(format!("it ends at {end}, which is not after its start at {start}"))
        .hint("--from comes before --to: --from -1h --to now is the hour behind now")
}

/// A range that ends now, if nothing else is said.
async fn past(desk: &Desk, typed: &Past) -> anyhow::Result<(Option<Timestamp>, Option<Timestamp>)> {
    let to = typed.to.filter(|to| !is_now(*to));
    let [start, end] = instants(desk, [typed.from, to]).await?;
    Ok((start, end))
}
