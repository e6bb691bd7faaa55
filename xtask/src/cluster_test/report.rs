//! The table of what users noticed, on the terminal and in `docs/reliability.md`.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};

use super::load::Window;

/// Something that must be true.
#[derive(Debug)]
pub struct Claim {
    pub holds: bool,
    pub text: String,
}

impl Claim {
    pub fn new(holds: bool, text: String) -> Self {
        Self { holds, text }
    }
}

/// Everything that was found out.
#[derive(Default)]
pub struct Report {
    rows: Vec<String>,
    claims: Vec<Claim>,
}

const HEAD: &str = "| fault | requests | failures | p50 ms | p99 ms | share per worker, % |\n|---|---|---|---|---|---|";
/// The generated part of the page lies between these lines.
const BEGIN: &str = "<!-- cargo xtask cluster-test: begin -->";
const END: &str = "<!-- cargo xtask cluster-test: end -->";

impl Report {
    /// Adds a row and prints it.
    pub fn row(&mut self, what: &str, window: &Window) {
        let row = row(what, window);
        println!("{row}");
        for (why, n) in &window.failures {
            println!("    {n} times: {why}");
        }
        self.rows.push(row);
    }

    /// Adds claims and prints them.
    pub fn claims(&mut self, claims: Vec<Claim>) {
        for claim in &claims {
            println!("  {}: {}", if claim.holds { "yes" } else { "NO" }, claim.text);
        }
        self.claims.extend(claims);
    }

    /// How many claims do not hold.
    pub fn n_broken(&self) -> usize {
        self.claims.iter().filter(|c| !c.holds).count()
    }

    /// The generated part of the page.
    fn page(&self, conditions: &str) -> String {
        let mut page = format!("{BEGIN}\n{conditions}\n\n{HEAD}\n{}\n\n", self.rows.join("\n"));
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

fn row(what: &str, window: &Window) -> String {
    let all: u64 = window.jobs.values().sum();
    let share = |jobs: &u64| format!("{:.0}", *jobs as f64 * 100.0 / all.max(1) as f64);
    let shares: Vec<_> = window.jobs.values().map(share).collect();
    let ms = |time: Duration| format!("{:.0}", time.as_secs_f64() * 1e3);
    format!(
        "| {what} | {} | {} | {} | {} | {} |",
        window.requests,
        window.n_failures(),
        ms(window.p50),
        ms(window.p99),
        if shares.is_empty() { "not told".to_owned() } else { shares.join(" ") }
    )
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
        assert_eq!(row("x", &window), "| x | 10 | 2 | 2 | 40 | 25 75 |");
        let text = format!("# T\n{BEGIN}\nold\n{END}\nrest\n");
        assert_eq!(
            replaced(&text, &format!("{BEGIN}\nnew\n{END}")).unwrap(),
            format!("# T\n{BEGIN}\nnew\n{END}\nrest\n")
        );
        assert!(replaced("nothing", "new").is_err());
    }
}
