//! What goes to stdout: answers as they came, tables and details for people.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::failure::Failure;

/// Writes at once, so a reader sees each part as it comes.
pub fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    Ok(stdout.flush()?)
}

/// Writes a line; a line end that is there already is not doubled.
pub fn print(text: &str) -> Result<(), Failure> {
    write(format!("{}\n", text.strip_suffix('\n').unwrap_or(text)).as_bytes())
}

/// Columns as wide as their widest cell, two blanks between.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let cells = cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let rows = rows.iter().map(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    [line(head)].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

/// A line a member, the values below each other.
pub fn details(members: &Map<String, Value>) -> String {
    let width = members.keys().map(|key| key.chars().count()).max().unwrap_or(0);
    let line = |(key, value): (&String, &Value)| format!("{key:width$}  {}", cell(Some(value)));
    members.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A value as a cell: texts bare, everything else as JSON, nothing as `-`.
pub fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_blanks() {
        let rows = [vec!["wördcount".into(), "Wheel".into()], vec!["a".into(), "Egg".into()]];
        assert_eq!(table(&["NAME", "TYPE"], &rows), "NAME       TYPE\nwördcount  Wheel\na          Egg");
        assert_eq!(table(&["NAME", "TYPE"], &[]), "NAME  TYPE");
    }

    #[test]
    fn details_show_texts_bare_and_the_rest_as_json() {
        let value = serde_json::json!({"id": "x", "result": [1, 2.5], "url": null});
        assert_eq!(details(value.as_object().unwrap()), "id      x\nresult  [1,2.5]\nurl     -");
    }
}
