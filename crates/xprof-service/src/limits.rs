//! What this process may use: memory and CPUs as the container limits them.

use std::fs;
use std::path::Path;

/// CPUs that the process may use, cgroup quota and affinity included.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The memory for jobs and caches if nobody sets it: half of the container's limit, or half of what is available.
pub fn default_memory_budget() -> u64 {
    memory_budget_under(Path::new("/"))
}

/// Never less than this, whatever the files say: a worker that admits nothing helps nobody.
const LEAST_BUDGET: u64 = 64 << 20;

fn memory_budget_under(root: &Path) -> u64 {
    let available = meminfo(root, "MemAvailable:").unwrap_or(2 << 30);
    // A limit larger than the machine is how cgroup v1 spells "none".
    let limit = cgroup_limit(root).filter(|limit| meminfo(root, "MemTotal:").is_none_or(|total| *limit <= total));
    (limit.unwrap_or(available) / 2).max(LEAST_BUDGET)
}

/// The smallest limit on the way from this process's cgroup to the root; inside a container the root itself is its cgroup.
fn cgroup_limit(root: &Path) -> Option<u64> {
    let cgroups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut limits = Vec::new();
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (base, file) = if controllers.is_empty() {
            ("sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|c| c == "memory") {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        for ancestor in Path::new(path).ancestors() {
            let dir = root.join(base).join(ancestor.strip_prefix("/").unwrap_or(ancestor));
            limits.extend(fs::read_to_string(dir.join(file)).ok().and_then(|text| text.trim().parse::<u64>().ok()));
        }
    }
    limits.into_iter().min()
}

fn meminfo(root: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find(|l| l.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], expected: u64) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(memory_budget_under(dir.path()), expected, "{files:?}");
    }

    #[test]
    fn takes_half_of_the_tightest_limit() {
        let meminfo = ("proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n");
        check(&[meminfo], 2 << 30);
        let v2 = ("proc/self/cgroup", "0::/pod/box\n");
        check(&[meminfo, v2, ("sys/fs/cgroup/pod/box/memory.max", "max\n")], 2 << 30);
        check(&[meminfo, v2, ("sys/fs/cgroup/pod/memory.max", "1073741824\n")], 1 << 29);
        check(&[meminfo, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "1073741824\n")], 1 << 29);
        let v1 = ("proc/self/cgroup", "9:cpu:/x\n8:memory:/x\n");
        check(&[meminfo, v1, ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "536870912\n")], 1 << 28);
        check(&[meminfo, v1, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")], 2 << 30);
        check(&[meminfo, v2, ("sys/fs/cgroup/memory.max", "1000\n")], LEAST_BUDGET);
        check(&[], 1 << 30);
    }
}
