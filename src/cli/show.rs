//! How answers look at a terminal: aligned tables, or JSON for scripts.

use std::io::Write;

use serde_json::Value;

use super::client::CliError;

/// A column: its heading, and the field as a JSON pointer.
pub type Column = (&'static str, &'static str);

/// Prints a line to standard output.
pub fn line(text: &str) -> Result<(), CliError> {
    self::text(&format!("{text}\n"))
}

/// Prints a text to standard output; all of it is written when this returns.
pub fn text(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|cause| CliError::Io {
        what: "standard output".to_owned(),
        cause,
    })
}

/// Says on standard error what went wrong. Where that cannot be written either, the exit code tells.
pub fn complain(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "trunkline: {text}"));
}

/// Prints a value as JSON.
pub fn json(value: &Value) -> Result<(), CliError> {
    line(&format!("{value:#}"))
}

/// Prints a list: a table, or all of it as JSON.
pub fn list(items: Vec<Value>, columns: &[Column], as_json: bool) -> Result<(), CliError> {
    if as_json {
        return json(&Value::Array(items));
    }
    line(table(&items, columns).trim_end())
}

/// Prints one thing: a line a field, or JSON.
pub fn one(value: &Value, as_json: bool) -> Result<(), CliError> {
    match value.as_object() {
        Some(fields) if !as_json => {
            let width = fields.keys().map(|name| name.chars().count()).max().unwrap_or(0);
            for (name, value) in fields {
                line(&format!("{name:width$}  {}", cell(Some(value))))?;
            }
            Ok(())
        }
        _ => json(value),
    }
}

/// Prints what was done, or the answer as JSON.
pub fn done(text: &str, answer: &Value, as_json: bool) -> Result<(), CliError> {
    if as_json { json(answer) } else { line(text) }
}

/// Items as an aligned table.
pub fn table(items: &[Value], columns: &[Column]) -> String {
    if items.is_empty() {
        return "nothing here".to_owned();
    }
    let mut rows = vec![
        columns
            .iter()
            .map(|(heading, _)| (*heading).to_owned())
            .collect::<Vec<_>>(),
    ];
    rows.extend(items.iter().map(|item| {
        columns
            .iter()
            .map(|(_, field)| cell(item.pointer(field)))
            .collect::<Vec<_>>()
    }));
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A text for a terminal, which the control characters of foreign names and messages do not reach.
pub fn plain(text: &str) -> String {
    let shown = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.chars().map(shown).collect()
}

/// A value in a cell.
fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.iter().all(|item| !item.is_object()) => items
            .iter()
            .map(|item| cell(Some(item)))
            .collect::<Vec<_>>()
            .join(","),
        Some(other) => other.to_string(),
    };
    plain(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_aligned_and_control_characters_gone() {
        let items = [
            json!({"id": "ses_1", "login": {"step": "input_code"}, "name": "سلام"}),
            json!({"id": "ses_222", "login": null, "name": "a\u{1b}[31m"}),
        ];
        let text = table(
            &items,
            &[("ID", "/id"), ("STEP", "/login/step"), ("NAME", "/name")],
        );
        assert_eq!(
            text,
            "ID       STEP        NAME\nses_1    input_code  سلام\nses_222  -           a [31m\n"
        );
    }
}
