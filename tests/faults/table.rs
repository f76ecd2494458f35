//! What the campaign ends with: a table for people, and one JSON object for programs.

use std::fmt::Write;

use serde_json::json;

use super::class::Row;

/// A column: its heading, and what stands there.
type Column = (&'static str, fn(&Row) -> String);

/// The table's columns.
const COLUMNS: &[Column] = &[
    ("class", |row| row.class.clone()),
    ("injected", |row| row.injected.to_string()),
    ("messages", |row| row.produced.to_string()),
    ("lost", |row| row.lost.to_string()),
    ("doubled", |row| row.duplicated.to_string()),
    ("late", |row| row.late.to_string()),
    ("serves again (p50 / max)", |row| {
        match (row.serves_p50_ms, row.serves_max_ms) {
            (Some(half), Some(most)) => format!("{half} / {most} ms"),
            _ => "-".to_owned(),
        }
    }),
    ("aim", |row| row.aim.clone()),
    ("met", |row| match row.missed.is_empty() {
        true => "yes".to_owned(),
        false => format!("NO: {}", row.missed.join("; ")),
    }),
];

/// The rows as a table in Markdown, the columns aligned.
pub fn table(rows: &[Row]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| COLUMNS.iter().map(|(_, cell)| cell(row)).collect())
        .collect();
    let widths: Vec<usize> = COLUMNS
        .iter()
        .enumerate()
        .map(|(at, (heading, _))| {
            let widest = cells.iter().map(|row| row[at].chars().count()).max();
            widest.unwrap_or(0).max(heading.len())
        })
        .collect();
    let mut text = String::new();
    let mut line = |cells: Vec<String>| {
        for (cell, width) in cells.iter().zip(&widths) {
            write!(text, "| {cell:<width$} ").expect("a text takes all");
        }
        text.push_str("|\n");
    };
    line(COLUMNS.iter().map(|(heading, _)| (*heading).to_owned()).collect());
    line(widths.iter().map(|width| "-".repeat(*width)).collect());
    cells.into_iter().for_each(&mut line);
    text
}

/// One JSON object on one line.
pub fn summary(rows: &[Row], seed: u64, rounds: Option<u32>) -> String {
    let sum = |of: fn(&Row) -> usize| rows.iter().map(of).sum::<usize>();
    let missed: Vec<String> = rows
        .iter()
        .flat_map(|row| row.missed.iter().map(move |aim| format!("{}: {aim}", row.class)))
        .collect();
    json!({
        "classes": rows,
        "injected": sum(|row| row.injected as usize),
        "produced": sum(|row| row.produced),
        "lost": sum(|row| row.lost),
        "duplicated": sum(|row| row.duplicated),
        "unopenable": sum(|row| row.unopenable as usize),
        "missed": missed,
        "seed": seed,
        "rounds": rounds,
    })
    .to_string()
}
