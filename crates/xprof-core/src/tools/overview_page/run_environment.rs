//! The overview's facts about where the program ran.
//!
//! Takes the run environment of all hosts, gives the table: jobs as rows, counts as properties.

use xprof_proto::tensorflow::profiler::RunEnvironment;

use crate::answer::datatable::{ColumnType, DataTable};

/// The table.
pub fn table(environment: &RunEnvironment) -> DataTable {
    let mut table = DataTable::new();
    for id in ["host_id", "command_line", "start_time", "bns_address"] {
        table.column(id, ColumnType::String, id);
    }
    for job in &environment.host_dependent_job_info {
        table.row([
            job.host_id.clone().into(),
            job.command_line.clone().into(),
            rfc3339(job.start_time).into(),
            job.bns_address.clone().into(),
        ]);
    }
    let RunEnvironment { host_count, task_count, device_core_count, replica_count, num_cores_per_replica, .. } =
        *environment;
    let mut tasks = count_text(task_count);
    if host_count > 0 && task_count > 0 {
        tasks = format!("{tasks} (num tasks per host = {})", task_count / host_count);
    }
    let mut cores = count_text(device_core_count);
    if replica_count > 0 && num_cores_per_replica > 0 {
        cores = format!("{cores} (Replica count = {replica_count}, num cores per replica = {num_cores_per_replica})");
    }
    table.property("host_count", count_text(host_count)).property("task_count", tasks);
    table.property("device_type", environment.device_type.clone()).property("device_core_count", cores);
    table.property("is_training", environment.is_training.to_string());
    table
}

fn count_text(count: i32) -> String {
    if count < 0 { "unknown".into() } else { count.to_string() }
}

/// A time since 1970 as date and time in UTC, with as many digits of a second as it has.
fn rfc3339(unix_ns: i64) -> String {
    const DAY_S: i64 = 86_400;
    let (seconds, ns) = (unix_ns.div_euclid(1_000_000_000), unix_ns.rem_euclid(1_000_000_000));
    let (days, second) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
    let (year, month, day) = civil_date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = if ns == 0 { String::new() } else { format!(".{ns:09}").trim_end_matches('0').to_owned() };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}+00:00")
}

/// Year, month and day of a day since 1970, by eras of 400 years that begin in March.
fn civil_date(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_times() {
        for (ns, text) in [
            (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789+00:00"),
            (1_700_000_000_500_000_000, "2023-11-14T22:13:20.5+00:00"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00+00:00"),
            (0, "1970-01-01T00:00:00+00:00"),
            (-1_000_000_000, "1969-12-31T23:59:59+00:00"),
        ] {
            assert_eq!(rfc3339(ns), text);
        }
    }

    #[test]
    fn writes_counts() {
        let check = |environment: RunEnvironment, tasks: &str, cores: &str| {
            let table = table(&environment);
            assert_eq!(
                (table.properties()["task_count"].as_ref(), table.properties()["device_core_count"].as_ref()),
                (tasks, cores)
            );
        };
        let counts = |host_count, task_count, device_core_count, replica_count| RunEnvironment {
            host_count,
            task_count,
            device_core_count,
            replica_count,
            num_cores_per_replica: 2,
            ..RunEnvironment::default()
        };
        check(counts(2, 4, 8, 4), "4 (num tasks per host = 2)", "8 (Replica count = 4, num cores per replica = 2)");
        check(counts(0, 4, -1, 0), "4", "unknown");
    }
}
