//! Combines what hosts say about where the program ran.
//!
//! Takes one host after the other and gives one description. Counts add up; of texts, mostly the last one stays.

use xprof_proto::tensorflow::profiler::{PowerComponentMetrics, PowerMetrics, RunEnvironment};

/// Builds the run environment of all hosts.
#[derive(Debug, Default)]
pub struct RunEnvironmentCombiner {
    whole: RunEnvironment,
    n_hosts: usize,
}

impl RunEnvironmentCombiner {
    /// Adds the next host.
    pub fn add(&mut self, host: &RunEnvironment) {
        add(&mut self.whole, host, self.n_hosts);
        self.n_hosts += 1;
    }

    /// All hosts.
    pub fn finish(mut self) -> RunEnvironment {
        self.whole.host_count = self.whole.hostnames.len() as i32;
        self.whole
    }
}

fn add(whole: &mut RunEnvironment, host: &RunEnvironment, n_before: usize) {
    whole.hostnames.extend(host.hostnames.keys().map(|name| (name.clone(), true)));
    whole.task_count = whole.task_count.wrapping_add(host.task_count);
    match host.device_type.as_str() {
        "CPU" if whole.device_type.is_empty() => whole.device_type = "CPU".into(),
        "CPU" | "Device" => {}
        // parity: an empty type is none of the above, and overwrites.
        device_type => {
            device_type.clone_into(&mut whole.device_type);
            whole.device_core_count = whole.device_core_count.wrapping_add(host.device_core_count);
            whole.replica_count = whole.replica_count.max(host.replica_count);
            whole.num_cores_per_replica = whole.num_cores_per_replica.max(host.num_cores_per_replica);
            whole.system_topology = Some(host.system_topology.clone().unwrap_or_default());
        }
    }
    whole.hardware_type = whole.hardware_type.max(host.hardware_type);
    // parity: the last host speaks for all.
    whole.host_trace_level = host.host_trace_level;
    whole.is_training = host.is_training;
    if whole.host_independent_job_info.is_none() {
        whole.host_independent_job_info =
            host.host_independent_job_info.clone().filter(|info| info.profile_duration_ms > 0);
    }
    whole.host_dependent_job_info.extend_from_slice(&host.host_dependent_job_info);
    if let Some(power) = &host.power_metrics {
        add_power(whole.power_metrics.get_or_insert_default(), power, n_before);
    }
}

/// Maxima stay, averages are weighted by the number of hosts.
fn add_power(whole: &mut PowerMetrics, host: &PowerMetrics, n_before: usize) {
    for part in &host.power_component_metrics {
        let same = |c: &&mut PowerComponentMetrics| c.component_name == part.component_name;
        match whole.power_component_metrics.iter_mut().find(same) {
            Some(component) => {
                let n = n_before.max(1) as f64;
                component.max_power = component.max_power.max(part.max_power);
                component.avg_power = (component.avg_power * n + part.avg_power) / (n + 1.0);
            }
            None => whole.power_component_metrics.push(part.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(device_types: &[&str], device_type: &str, device_core_count: i32) {
        let mut combiner = RunEnvironmentCombiner::default();
        for device_type in device_types {
            combiner.add(&RunEnvironment {
                device_type: (*device_type).into(),
                device_core_count: 2,
                task_count: 1,
                hostnames: [("same".to_owned(), true)].into(),
                ..RunEnvironment::default()
            });
        }
        let whole = combiner.finish();
        assert_eq!((whole.device_type.as_str(), whole.device_core_count), (device_type, device_core_count));
        assert_eq!((whole.host_count, whole.task_count), (1, device_types.len() as i32));
    }

    #[test]
    fn names_the_device() {
        check(&["CPU", "TPU v5", "CPU"], "TPU v5", 2);
        check(&["TPU v5", "TPU v6"], "TPU v6", 4);
        check(&["CPU", "CPU"], "CPU", 0);
        check(&["TPU v5", ""], "", 4);
        check(&["Device"], "", 0);
    }
}
