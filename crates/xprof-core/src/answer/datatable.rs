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

/// A table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DataTable {
    columns: Vec<Column>,
    /// All cells, row after row: one allocation instead of one per row.
    cells: Vec<Value>,
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
    pub fn row(&mut self, cells: impl IntoIterator<Item = Value>) -> &mut Self {
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
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[Value]> {
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
            separated(out, row, Value::write_json);
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

impl Value {
    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"v\":");
        match self {
            Self::Text(text) => write_string(out, text),
            Self::Number(number) => write_shortest(out, *number),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
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
        table.row([1.0.into(), "De\"vice".into()]).row([]).row(["".into(), true.into(), f64::NAN.into()]);
        check(
            &table,
            concat!(
                r#"{"cols":[{"id":"rank","label":"Rank","type":"number"},"#,
                r#"{"id":"tip","label":"T","p":{"role":"tooltip"},"type":"string"}],"p":{"a":"b","task_type":"Training"},"#,
                r#""rows":[{"c":[{"v":1.0},{"v":"De\"vice"}]},{"c":[]},{"c":[{"v":""},{"v":true},{"v":null}]}]}"#
            ),
        );
    }
}
