//! Writes a table as comma-separated values.
//!
//! Takes a [`DataTable`] and gives text: a line of labels, then one line per row, every field in quotes.
//! Values look as Python prints them (`parity:` the reference exports through Python); formatted texts are not exported.

use super::datatable::{DataTable, Value};
use super::number::write_python;

/// The table as text.
pub fn write(table: &DataTable) -> String {
    let mut out = Vec::with_capacity(64 * (table.rows().len() + 1));
    write_line(&mut out, table.columns(), |column, out| write_text(out, &column.label));
    // A row without cells leaves no line.
    for row in table.rows().filter(|row| !row.is_empty()) {
        write_line(&mut out, row, |cell, out| write_value(out, cell));
    }
    // All of it is text.
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn write_line<T>(out: &mut Vec<u8>, fields: &[T], write: impl Fn(&T, &mut Vec<u8>)) {
    for (i, field) in fields.iter().enumerate() {
        out.extend_from_slice(if i == 0 { b"\"" } else { b",\"" });
        write(field, out);
        out.push(b'"');
    }
    out.push(b'\n');
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        // What JSON cannot say arrives as null, and null is an empty field.
        Value::Number(number) if !number.is_finite() => {}
        Value::Number(number) => write_python(out, *number),
        Value::Text(text) => write_text(out, text),
        Value::Bool(true) => out.extend_from_slice(b"True"),
        Value::Bool(false) => out.extend_from_slice(b"False"),
    }
}

/// Text with its quotes doubled.
fn write_text(out: &mut Vec<u8>, text: &str) {
    let mut pieces = text.split('"');
    out.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        out.extend_from_slice(b"\"\"");
        out.extend_from_slice(piece.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::datatable::ColumnType;

    #[test]
    fn writes_python_text() {
        let mut table = DataTable::new();
        assert_eq!(write(&table), "\n");
        table.column("a", ColumnType::String, "").column("b", ColumnType::Number, "B");
        table.row(["x \"y\"\nz".into(), 1.0.into()]).row([]).row(["".into(), f64::NAN.into()]);
        table.row([true.into(), 1e22.into()]).row([1e15.into(), 1e-5.into()]);
        assert_eq!(
            write(&table),
            "\"\",\"B\"\n\"x \"\"y\"\"\nz\",\"1.0\"\n\"\",\"\"\n\"True\",\"1e+22\"\n\"1000000000000000.0\",\"1e-05\"\n"
        );
    }
}
