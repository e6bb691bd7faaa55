//! The table that most tools answer with: typed columns, rows of cells, and text properties.
//!
//! Takes cells row by row and gives the JSON of Google's DataTable as the reference writes it: keys in alphabetical
//! order, no blanks, every number a double.
//! Must not format values: what a cell shows beside its value is the tool's business.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::json::write_string;
use super::number::write_shortest;

/// Text that is either part of the program or made for one answer.
pub type Text = Cow<'static, str>;

/// Named text properties, written in the order of their names.
pub type Properties = BTreeMap<Text, Text>;

/// What the cells of a column hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Text.
    String,
    /// A double.
    Number,
    /// True or false.
    Boolean,
}

impl ColumnType {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// One column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name for programs.
    pub id: Text,
    /// What its cells hold.
    pub kind: ColumnType,
    /// Its name for people.
    pub label: Text,
    /// Its properties, such as a role.
    pub properties: Properties,
}

/// What one cell holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing. `parity:` written as an empty string.
    Null,
    /// Text.
    Text(Text),
    /// A number.
    Number(f64),
    /// True or false.
    Bool(bool),
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}

impl From<Text> for Value {
    fn from(value: Text) -> Self {
        Self::Text(value)
    }
}

/// One cell: a value and, rarely, what is shown in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Its value.
    pub value: Value,
    /// Present only in the few tables that format their cells.
    extra: Option<Box<Extra>>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Extra {
    formatted: Option<Text>,
    properties: Properties,
}

impl<T: Into<Value>> From<T> for Cell {
    fn from(value: T) -> Self {
        Self { value: value.into(), extra: None }
    }
}

impl Cell {
    /// The same cell, shown as `text`.
    pub fn shown_as(mut self, text: impl Into<Text>) -> Self {
        self.extra.get_or_insert_default().formatted = Some(text.into());
        self
    }

    /// The same cell with a property.
    pub fn with_property(mut self, name: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.extra.get_or_insert_default().properties.insert(name.into(), value.into());
        self
    }
}

/// A table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DataTable {
    columns: Vec<Column>,
    /// All cells, row after row: one allocation instead of one per row.
    cells: Vec<Cell>,
    /// Where each row ends in `cells`.
    row_ends: Vec<usize>,
    properties: Properties,
}

impl DataTable {
    /// Without columns, rows and properties.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column.
    pub fn column(&mut self, id: impl Into<Text>, kind: ColumnType, label: impl Into<Text>) -> &mut Self {
        self.columns.push(Column { id: id.into(), kind, label: label.into(), properties: Properties::new() });
        self
    }

    /// Adds a column that means something special to charts, such as a tooltip.
    pub fn column_with_role(
        &mut self,
        id: impl Into<Text>,
        kind: ColumnType,
        label: impl Into<Text>,
        role: &'static str,
    ) -> &mut Self {
        let properties = Properties::from([("role".into(), role.into())]);
        self.columns.push(Column { id: id.into(), kind, label: label.into(), properties });
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) -> &mut Self {
        self.cells.extend(cells);
        self.row_ends.push(self.cells.len());
        self
    }

    /// Sets a property of the table.
    pub fn property(&mut self, name: impl Into<Text>, value: impl Into<Text>) -> &mut Self {
        self.properties.insert(name.into(), value.into());
        self
    }

    /// The columns in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[Cell]> {
        (0..self.row_ends.len()).map(|i| {
            let start = if i == 0 { 0 } else { self.row_ends[i - 1] };
            &self.cells[start..self.row_ends[i]]
        })
    }

    /// The table's properties.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// Appends the table as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"cols\":[");
        separated(out, &self.columns, Column::write_json);
        out.push(b']');
        write_properties(out, &self.properties);
        out.extend_from_slice(b",\"rows\":[");
        separated(out, self.rows(), |row, out| {
            out.extend_from_slice(b"{\"c\":[");
            separated(out, row, Cell::write_json);
            out.extend_from_slice(b"]}");
        });
        out.extend_from_slice(b"]}");
    }
}

impl Column {
    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        write_string(out, &self.id);
        out.extend_from_slice(b",\"label\":");
        write_string(out, &self.label);
        write_properties(out, &self.properties);
        out.extend_from_slice(b",\"type\":");
        write_string(out, self.kind.as_str());
        out.push(b'}');
    }
}

impl Cell {
    fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(extra) = &self.extra {
            if let Some(formatted) = &extra.formatted {
                out.extend_from_slice(b"\"f\":");
                write_string(out, formatted);
            }
            let start = out.len();
            write_properties(out, &extra.properties);
            if extra.formatted.is_some() {
                out.push(b',');
            } else if out.len() > start {
                // Nothing stands before the properties, so their comma moves behind them.
                out.remove(start);
                out.push(b',');
            }
        }
        out.extend_from_slice(b"\"v\":");
        match &self.value {
            Value::Null => out.extend_from_slice(b"\"\""),
            Value::Text(text) => write_string(out, text),
            Value::Number(number) => write_shortest(out, *number),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
        }
        out.push(b'}');
    }
}

fn write_properties(out: &mut Vec<u8>, properties: &Properties) {
    if properties.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"p\":{");
    separated(out, properties, |(name, value), out| {
        write_string(out, name);
        out.push(b':');
        write_string(out, value);
    });
    out.push(b'}');
}

/// Writes items with commas between them.
fn separated<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, write: impl Fn(T, &mut Vec<u8>)) {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(item, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(table: &DataTable, expected: &str) {
        let mut out = Vec::new();
        table.write_json(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn writes_json_with_sorted_keys() {
        let mut table = DataTable::new();
        check(&table, r#"{"cols":[],"rows":[]}"#);
        table.column("rank", ColumnType::Number, "Rank").column_with_role("tip", ColumnType::String, "T", "tooltip");
        table.property("task_type", "Training").property("a", "b");
        table.row([1.0.into(), "De\"vice".into()]).row([]).row([Value::Null.into(), true.into(), f64::NAN.into()]);
        check(
            &table,
            concat!(
                r#"{"cols":[{"id":"rank","label":"Rank","type":"number"},"#,
                r#"{"id":"tip","label":"T","p":{"role":"tooltip"},"type":"string"}],"p":{"a":"b","task_type":"Training"},"#,
                r#""rows":[{"c":[{"v":1.0},{"v":"De\"vice"}]},{"c":[]},{"c":[{"v":""},{"v":true},{"v":null}]}]}"#
            ),
        );
    }

    #[test]
    fn writes_formatted_cells() {
        let mut table = DataTable::new();
        table.row([
            Cell::from(2048.0).shown_as("2.0K"),
            Cell::from(1.0).with_property("k", "v"),
            Cell::from(1.0).shown_as("one").with_property("k", "v"),
        ]);
        let cells = r#"{"f":"2.0K","v":2048.0},{"p":{"k":"v"},"v":1.0},{"f":"one","p":{"k":"v"},"v":1.0}"#;
        check(&table, &format!(r#"{{"cols":[],"rows":[{{"c":[{cells}]}}]}}"#));
    }
}
