//! The table of what users noticed, on the terminal and in `docs/reliability.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};

use super::load::Window;

/// Something that must be true.
#[derive(Debug)]
pub struct Claim {
    pub holds: bool,
    pub text: String,
    /// Whether a machine that is busy with something else may make it untrue.
    pub is_timed: bool,
}

impl Claim {
    pub fn new(holds: bool, text: String) -> Self {
        Self { holds, text, is_timed: false }
    }

    /// One about time.
    pub fn timed(holds: bool, text: String) -> Self {
        Self { is_timed: true, ..Self::new(holds, text) }
    }
}

/// Everything that was found out.
#[derive(Default)]
pub struct Report {
    rows: Vec<(&'static str, Window)>,
    theirs: BTreeMap<&'static str, Window>,
    claims: Vec<Claim>,
}

const HEAD: &str = "| fault | requests | failures | p50 ms | p99 ms | share per worker, % | XProf: requests | failures | p99 ms |\n\
                    |---|---|---|---|---|---|---|---|---|";
/// The generated part of the page lies between these lines.
const BEGIN: &str = "<!-- cargo xtask cluster-test: begin -->";
const END: &str = "<!-- cargo xtask cluster-test: end -->";

impl Report {
    /// Adds what our users noticed of a fault, and prints it.
    pub fn ours(&mut self, fault: &'static str, window: Window) {
        print(fault, &window);
        self.rows.push((fault, window));
    }

    /// Adds what XProf's users noticed of the same fault, and prints it.
    pub fn theirs(&mut self, fault: &'static str, window: Window) {
        print(&format!("XProf: {fault}"), &window);
        self.theirs.insert(fault, window);
    }

    /// Adds claims and prints them.
    pub fn claims(&mut self, claims: Vec<Claim>) {
        for claim in &claims {
            println!("  {}: {}", if claim.holds { "yes" } else { "NO" }, claim.text);
        }
        self.claims.extend(claims);
    }

    /// How many claims do not hold; those about time may be left to quieter machines.
    pub fn n_broken(&self, with_timed: bool) -> usize {
        self.claims.iter().filter(|c| !c.holds && (with_timed || !c.is_timed)).count()
    }

    /// The generated part of the page.
    fn page(&self, conditions: &str) -> String {
        let mut page = format!("{BEGIN}\n{conditions}\n\n{HEAD}\n");
        for (fault, window) in &self.rows {
            let theirs = self.theirs.get(fault).map_or_else(
                || "| |".to_owned(),
                |w| format!("{} | {} | {}", w.requests, w.n_failures(), milliseconds(w.p99)),
            );
            let _ = writeln!(page, "| {fault} | {} | {theirs} |", columns(window));
        }
        page.push('\n');
        for claim in &self.claims {
            let _ = writeln!(page, "- {}{}", if claim.holds { "" } else { "**does not hold**: " }, claim.text);
        }
        page + END
    }

    /// Puts tables and claims into the page in place of the earlier ones.
    pub fn keep(&self, conditions: &str) -> Result<()> {
        let path = crate::root().join("docs/reliability.md");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        std::fs::write(&path, replaced(&text, &self.page(conditions))?)?;
        println!("kept in {}", path.display());
        Ok(())
    }
}

fn replaced(text: &str, page: &str) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("the page has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("the page has no line {END}"))?;
    Ok(format!("{before}{page}{after}"))
}

fn print(what: &str, window: &Window) {
    println!("| {what} | {} |", columns(window));
    for (why, n) in &window.failures {
        println!("    {n} times: {why}");
    }
}

fn columns(window: &Window) -> String {
    let all: u64 = window.jobs.values().sum();
    let shares: Vec<_> =
        window.jobs.values().map(|jobs| format!("{:.0}", *jobs as f64 * 100.0 / all.max(1) as f64)).collect();
    let (p50, p99) = (milliseconds(window.p50), milliseconds(window.p99));
    format!("{} | {} | {p50} | {p99} | {}", window.requests, window.n_failures(), shares.join(" "))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.0}", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_rows_and_replaces_them() {
        let mut window = Window { requests: 10, p50: Duration::from_millis(2), ..Window::default() };
        window.p99 = Duration::from_millis(40);
        window.jobs = [("a".to_owned(), 1), ("b".to_owned(), 3)].into();
        window.failures = [("status 503".to_owned(), 2)].into();
        let theirs = Window { requests: 5, ..Window::default() };
        let mut report = Report { rows: vec![("x", window), ("y", Window::default())], ..Report::default() };
        report.theirs.insert("x", theirs);
        report.claims.push(Claim::new(false, "z".to_owned()));
        let page = report.page("here");
        for line in
            ["| x | 10 | 2 | 2 | 40 | 25 75 | 5 | 0 | 0 |", "| y | 0 | 0 | 0 | 0 |  | | | |", "- **does not hold**: z"]
        {
            assert!(page.lines().any(|l| l == line), "{line} is not in {page}");
        }
        let text = format!("# T\n{BEGIN}\nold\n{END}\nrest\n");
        assert_eq!(
            replaced(&text, &format!("{BEGIN}\nnew\n{END}")).unwrap(),
            format!("# T\n{BEGIN}\nnew\n{END}\nrest\n")
        );
        assert!(replaced("nothing", "new").is_err());
    }
}
