//! What limits a program, in a word and in a sentence.
//!
//! Takes times summed over steps and gives conclusions; the thresholds and the texts are the reference's to the letter.

use crate::answer::number::fixed;

use super::generic_steps::GenericStep;

/// From this share of the step time on, in percent, a program is highly or moderately input-bound.
const INPUT_BOUND: (f64, f64) = (20.0, 5.0);
/// The same for output.
const OUTPUT_BOUND: (f64, f64) = (20.0, 5.0);
/// From this share on, time that nothing explains is taken for input.
const POTENTIALLY_INPUT_BOUND: f64 = 3.0;
/// From these shares on, a secondary signal is high or moderate.
const SIGNAL: (f64, f64) = (15.0, 3.0);

const NO_STEP_TIME: &str = "No step time measured. Therefore we cannot tell where the performance bottleneck is.";

/// A word for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conclusion {
    /// The word.
    pub class: &'static str,
    /// The sentence; empty if there is nothing to say.
    pub statement: String,
}

/// What limits a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bottleneck {
    /// Input, of whatever kind: `host`, `both`, `device` or `unknown`.
    pub input: Conclusion,
    /// Collective communication of devices: `high`, `moderate` or `no`.
    pub device_collectives: Conclusion,
    /// Launching kernels: likewise.
    pub kernel_launch: Conclusion,
    /// Everything that nothing explains: likewise.
    pub all_other: Conclusion,
}

impl Bottleneck {
    /// Without any step time.
    pub fn unknown() -> Self {
        let no = || Conclusion { class: "no", statement: String::new() };
        Self { input: unknown_input(), device_collectives: no(), kernel_launch: no(), all_other: no() }
    }

    /// Of steps on GPUs and CPUs.
    pub fn of_generic(steps: &[GenericStep], uses_tf_data: bool) -> Self {
        let sum = |time: fn(&GenericStep) -> f64| steps.iter().map(time).sum::<f64>();
        let total = sum(|s| s.step_time_ms);
        if total == 0.0 {
            return Self::unknown();
        }
        let percent = |time| 100.0 * sum(time) / total;
        let other_percent = percent(|s| s.unknown_ms);
        let (input, explains_other) = input_conclusion(percent(GenericStep::input_ms), other_percent);
        Self {
            input,
            device_collectives: signal(percent(|s| s.device_collectives_ms), |x| {
                format!("{x} % of the total step time sampled is spent on 'Device Collective Communication'.")
            }),
            kernel_launch: signal(percent(|s| s.host_prepare_ms), |x| {
                let advice = if uses_tf_data {
                    " It could be due to CPU contention with tf.data. In this case, you may try to set the \
                     environment variable TF_GPU_THREAD_MODE=gpu_private."
                } else {
                    ""
                };
                format!("{x} % of the total step time sampled is spent on 'Kernel Launch'.{advice}")
            }),
            all_other: signal(if explains_other { 0.0 } else { other_percent }, |x| {
                format!(
                    "{x} % of the total step time sampled is spent on 'All Others' time. This could be due to \
                     Python execution overhead."
                )
            }),
        }
    }
}

/// Where no step time was measured.
pub fn unknown_input() -> Conclusion {
    Conclusion { class: "unknown", statement: NO_STEP_TIME.into() }
}

/// Whether input limits the program, and whether the time that nothing explains went into that judgement.
pub fn input_conclusion(input_percent: f64, other_percent: f64) -> (Conclusion, bool) {
    let x = fixed(input_percent, 1);
    let (class, statement) = if input_percent >= INPUT_BOUND.0 {
        (
            "host",
            format!(
                "Your program is HIGHLY input-bound because {x}% of the total step time sampled is waiting for input. \
                 Therefore, you should first focus on reducing the input time."
            ),
        )
    } else if input_percent >= INPUT_BOUND.1 {
        (
            "both",
            format!(
                "Your program is MODERATELY input-bound because {x}% of the total step time sampled is waiting for \
                 input. Therefore, you would need to reduce both the input time and other time."
            ),
        )
    } else if other_percent >= POTENTIALLY_INPUT_BOUND {
        let x = fixed(other_percent, 1);
        let statement = format!(
            "Your program is POTENTIALLY input-bound because {x}% of the total step time sampled is spent on 'All \
             Others' time (which could be due to I/O or Python execution or both)."
        );
        return (Conclusion { class: "both", statement }, true);
    } else {
        (
            "device",
            format!(
                "Your program is NOT input-bound because only {x}% of the total step time sampled is waiting for \
                 input. Therefore, you should focus on reducing other time."
            ),
        )
    };
    (Conclusion { class, statement }, false)
}

/// Whether output limits the program; empty if it does not.
pub fn output_statement(output_percent: f64) -> String {
    let x = fixed(output_percent, 1);
    if output_percent >= OUTPUT_BOUND.0 {
        format!(
            "Your program is HIGHLY output-bound because {x}% of the total step time sampled is spent on output. \
             Therefore, you should first focus on reducing the output time."
        )
    } else if output_percent >= OUTPUT_BOUND.1 {
        format!(
            "Your program is MODERATELY output-bound because {x}% of the total step time sampled is spent on output. \
             Therefore, you would need to reduce both the output time and other time."
        )
    } else {
        String::new()
    }
}

/// What to do next about input.
pub fn next_step(input: &Conclusion, uses_tf_data: bool) -> &'static str {
    match input.class {
        "host" | "both" if uses_tf_data => "Look at Section 3 for the breakdown of input time on the host.",
        "host" | "both" => {
            "Consider using <a href=\"https://www.tensorflow.org/guide/data\" target=\"_blank\">the tf.data API</a> \
             to enable profiler's host-side analysis for input pipeline. Profiler currently does not support custom \
             input pipeline (please ignore Section 3 below)."
        }
        _ => "You may skip the rest of this page.",
    }
}

fn signal(percent: f64, statement: impl FnOnce(String) -> String) -> Conclusion {
    let class = match percent {
        _ if percent >= SIGNAL.0 => "high",
        _ if percent >= SIGNAL.1 => "moderate",
        _ => {
            return Conclusion { class: "no", statement: String::new() };
        }
    };
    Conclusion { class, statement: statement(fixed(percent, 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(step: GenericStep, classes: [&str; 4], statement: &str) {
        let b = Bottleneck::of_generic(&[step], false);
        let got = [&b.input, &b.device_collectives, &b.kernel_launch, &b.all_other].map(|c| c.class);
        assert_eq!(got, classes);
        assert!(b.input.statement.contains(statement), "{}", b.input.statement);
    }

    #[test]
    fn classifies_with_inclusive_bounds() {
        let step = || GenericStep { step_time_ms: 100.0, ..GenericStep::default() };
        check(GenericStep::default(), ["unknown", "no", "no", "no"], "No step time");
        check(
            GenericStep { host_wait_input_ms: 12.0, host_to_device_ms: 8.0, ..step() },
            ["host", "no", "no", "no"],
            "HIGHLY",
        );
        check(
            GenericStep { host_wait_input_ms: 5.0, unknown_ms: 15.0, ..step() },
            ["both", "no", "no", "high"],
            "5.0%",
        );
        check(
            GenericStep { unknown_ms: 3.0, host_prepare_ms: 3.0, ..step() },
            ["both", "no", "moderate", "no"],
            "POTENTIALLY",
        );
        check(GenericStep { device_collectives_ms: 15.0, ..step() }, ["device", "high", "no", "no"], "only 0.0%");
    }

    #[test]
    fn advises() {
        let host = Conclusion { class: "host", statement: String::new() };
        assert!(next_step(&host, true).starts_with("Look at Section 3"));
        assert!(next_step(&host, false).starts_with("Consider using"));
        assert!(next_step(&unknown_input(), true).starts_with("You may skip"));
        assert!(output_statement(20.0).contains("HIGHLY") && output_statement(4.9).is_empty());
    }
}
