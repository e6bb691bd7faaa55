//! Differences from recorded answers that are known, and what exactly differs there.
//!
//! Takes the text of `tests/conformance_open.txt`, says of a row whether it differs as it is known to. A row that differs in
//! another way, or not at all any more, is never fine.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The known rows by the path of their question.
pub struct Known {
    rows: BTreeMap<String, Difference>,
    asked: BTreeSet<String>,
}

/// How a row differs: the verdict and the first paths in the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    verdict: String,
    places: Vec<String>,
}

/// What a row is.
#[derive(Debug, PartialEq, Eq)]
pub enum Finding {
    /// The recorded answer.
    Same,
    /// Another one, in the way that is known.
    Known,
    /// Not fine, and why.
    Failed(String),
}

impl Known {
    /// Reads lines of verdict, question and places, with tabs between them. `#` begins a comment.
    pub fn read(text: &str) -> Result<Self> {
        let mut rows = BTreeMap::new();
        for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let mut parts = line.split('\t').map(str::to_owned);
            let row =
                || format!("line {}: a known row is a verdict, a question and places, with tabs between them", n + 1);
            let (verdict, question) = parts.next().zip(parts.next()).with_context(row)?;
            rows.insert(question, Difference { verdict, places: parts.collect() });
        }
        Ok(Self { rows, asked: BTreeSet::new() })
    }

    /// Judges one row as the checker wrote it.
    pub fn judge(&mut self, row: &Value) -> Finding {
        let question = row["path"].as_str().unwrap_or_default();
        let found = Difference::of(row);
        let known = self.rows.get(question);
        if known.is_some() {
            self.asked.insert(question.to_owned());
        }
        match known {
            None if found.is_fine() => Finding::Same,
            None => Finding::Failed("differs".into()),
            Some(_) if found.is_fine() => Finding::Failed("no longer differs: delete it from the known rows".into()),
            Some(known) if *known == found => Finding::Known,
            Some(known) => {
                Finding::Failed(format!("differs otherwise than is known, which is {}", known.line(question)))
            }
        }
    }

    /// The known rows about which nobody asked.
    pub fn unasked(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().filter(|question| !self.asked.contains(*question)).map(String::as_str)
    }
}

impl Difference {
    /// Of a row as the checker wrote it.
    pub fn of(row: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let examples = row["examples"].as_array().into_iter().flatten();
        Self { verdict: text(&row["verdict"]), places: examples.map(|example| text(&example[0])).collect() }
    }

    fn is_fine(&self) -> bool {
        matches!(&*self.verdict, "same" | "ties")
    }

    /// The line that makes it known.
    pub fn line(&self, question: &str) -> String {
        [&[self.verdict.clone(), question.to_owned()], &self.places[..]].concat().join("\t")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_known_row_excuses_one_difference_only() {
        let row = |question: &str, verdict: &str, places: &[&str]| {
            let examples: Vec<_> = places.iter().map(|place| json!([place, "1", "2"])).collect();
            json!({ "path": question, "verdict": verdict, "examples": examples })
        };
        let text = "# why\nwrong\t/a?x\t/rows/1/ts\t/rows/2\norder\t/b\n\nwrong\t/c\tbody\n";
        let mut known = Known::read(text).unwrap();
        let mut check = |row: Value, expect: &str| match known.judge(&row) {
            Finding::Failed(why) => assert!(why.starts_with(expect) && !expect.is_empty(), "{row}: {why}"),
            fine => assert_eq!(format!("{fine:?}"), expect, "{row}"),
        };
        check(row("/other", "same", &[]), "Same");
        check(row("/other", "ties", &["/x"]), "Same");
        check(row("/other", "order", &[]), "differs");
        check(row("/a?x", "wrong", &["/rows/1/ts", "/rows/2"]), "Known");
        check(
            row("/a?x", "order", &["/rows/1/ts", "/rows/2"]),
            "differs otherwise than is known, which is wrong\t/a?x\t",
        );
        check(row("/a?x", "wrong", &["/rows/1/ts", "/rows/3"]), "differs otherwise");
        check(row("/a?x", "wrong", &["/rows/1/ts"]), "differs otherwise");
        check(row("/b", "order", &[]), "Known");
        check(row("/b", "same", &[]), "no longer differs");
        assert_eq!(known.unasked().collect::<Vec<_>>(), ["/c"]);
        let line = Difference::of(&row("/c", "wrong", &["body"])).line("/c");
        assert_eq!(line, "wrong\t/c\tbody");
        assert!(Known::read("/data?run=x").is_err());
    }

    #[test]
    fn the_list_of_known_rows_is_readable() {
        let text = std::fs::read_to_string(crate::root().join("tests/conformance_open.txt")).unwrap();
        let known = Known::read(&text).unwrap();
        assert!(known.rows.values().all(|known| !known.is_fine() && !known.places.is_empty()));
    }
}
