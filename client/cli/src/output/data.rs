//! JSON, JSON lines, YAML and CSV: the same keys and the same values in each.

use serde::Serialize;

use crate::arguments::Format;
use crate::output::column::Column;
use crate::output::value::Record;

pub(super) fn list<T>(
    format: Format,
    columns: &[&Column<T>],
    things: &[T],
) -> anyhow::Result<String> {
    let records: Vec<Record> = things.iter().map(|thing| record(columns, thing)).collect();
    match format {
        Format::Jsonl => {
            let lines = records.iter().map(serde_json::to_string);
            Ok(lines.collect::<Result<Vec<_>, _>>()?.join("\n"))
        }
        Format::Csv => csv(columns, &records),
        format => document(format, &records),
    }
}

pub(super) fn one<T>(format: Format, columns: &[&Column<T>], thing: &T) -> anyhow::Result<String> {
    let record = record(columns, thing);
    match format {
        Format::Jsonl => Ok(serde_json::to_string(&record)?),
        Format::Csv => csv(columns, &[record]),
        format => document(format, &record),
    }
}

pub(super) fn record<T>(columns: &[&Column<T>], thing: &T) -> Record {
    Record(columns.iter().map(|column| (column.key, (column.read)(thing))).collect())
}

fn document(format: Format, value: &impl Serialize) -> anyhow::Result<String> {
    match format {
        Format::Yaml => Ok(serde_saphyr::to_string(value)?),
        _ => Ok(serde_json::to_string_pretty(value)?),
    }
}

fn csv<T>(columns: &[&Column<T>], records: &[Record]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns.iter().map(|column| column.key))?;
    for Record(fields) in records {
        writer.write_record(fields.iter().map(|(_, value)| value.cell()))?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}
