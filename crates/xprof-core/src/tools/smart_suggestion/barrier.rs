//! The rule about waits at barriers: hosts that wait for one another much of the time.
//!
//! Takes the shares of steps that chips and hosts waited; gives advice, with the names of hosts that stand out.
//! The text is the reference's to the letter.

use std::fmt::Write as _;

use xprof_proto::tensorflow::profiler::{EventTimeFractionAnalyzerResult, SmartSuggestion};

use crate::answer::html;

/// The rule applies from this share of the steps on, in percent.
const MIN_PERCENT: f64 = 10.0;

/// Fewer hosts cannot tell which of them stands out.
const MIN_HOSTS: usize = 3;

const OPENING: [&str; 2] = [
    "<p>Your program is likely bottlenecked by <b>TPU barrier-cores</b> operations: <b> an average of ",
    "% of each step time</b> is spent on these operations. This often indicates a synchronization issue between \
     workers in a distributed training setup. Please consider the following optimizations:</p><ul>",
];
const BALANCE: &str = "<li><b>Investigate Workload Balance:</b> Check for stragglers, i.e., workers that are \
     significantly slower than others. Uneven workloads can cause faster workers to wait at the barrier.</li>";
const STRAGGLERS: &str = "<li><b>Investigate Stragglers:</b> The following hosts are identified as potential \
     stragglers with significantly different barrier time fraction compared to others:<ul>";
const CLOSING: &str = "<li><b>Optimize Collective Operations:</b> Operations like AllReduce involve synchronization. \
     Ensure they are used efficiently. Check the size of data being communicated.</li><li><b>Check Network:</b> \
     Network latency or bandwidth can be a bottleneck for distributed operations, causing workers to wait longer at \
     barriers.</li><li><b>Improve Data Input Pipeline:</b> Ensure your data loading and preprocessing pipeline is \
     efficient and balanced across all workers. A slow input pipeline on one worker can stall all others.</li></ul>";

/// The advice, if the rule applies.
pub fn suggestion(waits: &EventTimeFractionAnalyzerResult) -> Option<SmartSuggestion> {
    let of_chips = waits.chip_event_time_fractions.values().flat_map(|chip| &chip.event_time_fractions);
    let percent = mean_percent(of_chips).filter(|percent| *percent >= MIN_PERCENT)?;
    let hosts: Vec<(&str, f64)> = waits
        .host_event_time_fractions
        .iter()
        .filter_map(|(name, host)| Some((name.as_str(), mean_percent(&host.event_time_fractions)?)))
        .collect();
    let mut text = format!("{}{percent:.1}{}", OPENING[0], OPENING[1]);
    let stragglers = stragglers(&hosts);
    if stragglers.is_empty() {
        text += BALANCE;
    } else {
        text += STRAGGLERS;
        for (host, percent) in stragglers {
            text += "<li>Host <b>";
            html::push_escaped(&mut text, host);
            // Writing to a string cannot fail.
            let _ = write!(text, "</b> average barrier-cores time fraction: <b>{percent:.1}%</b></li>");
        }
        text += "</ul></li>";
    }
    text += CLOSING;
    Some(SmartSuggestion { rule_name: "BarrierCoresRule".into(), suggestion_text: text })
}

/// The mean in percent, nothing of nothing.
fn mean_percent<'a>(shares: impl IntoIterator<Item = &'a f32>) -> Option<f64> {
    let (n, sum) = shares.into_iter().fold((0_u32, 0.0), |(n, sum), share| (n + 1, sum + f64::from(*share)));
    (n > 0).then(|| 100.0 * sum / f64::from(n))
}

/// The hosts that stand out, whether they wait longer than others or less long.
fn stragglers<'a>(hosts: &[(&'a str, f64)]) -> Vec<(&'a str, f64)> {
    if hosts.len() < MIN_HOSTS {
        return Vec::new();
    }
    let median_percent = median(hosts.iter().map(|(_, percent)| *percent));
    let spread = median(hosts.iter().map(|(_, percent)| (percent - median_percent).abs()));
    hosts.iter().filter(|(_, percent)| score(percent - median_percent, spread).abs() > 3.5).copied().collect()
}

/// The modified z-score of a host that differs by so much from the median. `parity:` where at least half of the hosts
/// agree to the last digit, each other host stands out.
fn score(difference: f64, spread: f64) -> f64 {
    if spread != 0.0 {
        0.6745 * difference / spread.max(0.1)
    } else if difference.abs() > 1e-6 {
        f64::INFINITY
    } else {
        0.0
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len() / 2, sorted.len() % 2) {
        (0, 0) => 0.0,
        (middle, 0) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        (middle, _) => sorted[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xprof_proto::tensorflow::profiler::{ChipEventTimeFractions, HostEventTimeFractions};

    fn waits(percents: &[f32]) -> EventTimeFractionAnalyzerResult {
        let shares: Vec<f32> = percents.iter().map(|percent| percent / 100.0).collect();
        let host = |(i, share): (usize, &f32)| {
            let hostname = format!("h{i}");
            let series = HostEventTimeFractions { hostname: hostname.clone(), event_time_fractions: vec![*share] };
            (hostname, series)
        };
        EventTimeFractionAnalyzerResult {
            host_event_time_fractions: shares.iter().enumerate().map(host).collect(),
            chip_event_time_fractions: [(
                "c".to_owned(),
                ChipEventTimeFractions { id: "c".into(), event_time_fractions: shares },
            )]
            .into(),
        }
    }

    /// The percentage shown, and the hosts named.
    fn check(percents: &[f32], expected: Option<(&str, &[&str])>) {
        let text = suggestion(&waits(percents)).map(|found| found.suggestion_text);
        let shown = text.as_deref().map(|text| {
            let (_, rest) = text.split_once("average of ").unwrap();
            let hosts: Vec<&str> = text.split("<li>Host <b>").skip(1).map(|s| s.split('<').next().unwrap()).collect();
            assert_eq!(text.contains(BALANCE), hosts.is_empty());
            (rest.split('%').next().unwrap(), hosts)
        });
        assert_eq!(shown.as_ref().map(|(percent, hosts)| (*percent, &hosts[..])), expected);
    }

    #[test]
    fn applies_from_ten_percent_on() {
        check(&[], None);
        check(&[9.9], None);
        check(&[12.5], Some(("12.5", &[])));
        check(&[5.0, 20.0], Some(("12.5", &[])));
    }

    #[test]
    fn names_hosts_that_stand_out() {
        check(&[20.0, 20.0, 20.01], Some(("20.0", &["h2"])));
        check(&[20.0, 21.0, 22.0], Some(("21.0", &[])));
        check(&[20.0, 21.0, 22.0, 3.0], Some(("16.5", &["h3"])));
        check(&[20.0, 60.0], Some(("40.0", &[])));
    }
}
