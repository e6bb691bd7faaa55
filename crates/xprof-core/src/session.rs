//! How a session's files are named: hosts, traces and the files that XProf puts beside them. Pure text, no files.

/// Stands for every host of a session where a host name is expected.
pub const ALL_HOSTS: &str = "ALL_HOSTS";

/// The ending of a trace file: an XSpace in protobuf form.
pub const XPLANE_SUFFIX: &str = ".xplane.pb";

/// The ending of a host's op statistics as XProf 2.24 stores them beside the trace.
pub const OP_STATS_SUFFIX: &str = ".op_stats_v2.pb";

/// The host of a trace file: its base name without the ending; a name with another ending is the host as it is.
pub fn host_of_file(path: &str) -> &str {
    let base = path.rsplit('/').next().unwrap_or(path);
    base.strip_suffix(XPLANE_SUFFIX).or_else(|| base.strip_suffix(".xplane.riegeli")).unwrap_or(base)
}

/// The file of a host inside its session directory.
pub fn file_of_host(host: &str) -> String {
    format!("{host}{XPLANE_SUFFIX}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hosts_as_the_reference_does() {
        for (file, host) in [
            ("/logs/run/34.83.195.179_6003.xplane.pb", "34.83.195.179_6003"),
            ("host0.xplane.pb", "host0"),
            ("a.xplane.riegeli", "a"),
            ("a.pb", "a.pb"),
        ] {
            assert_eq!(host_of_file(file), host);
        }
        assert_eq!(host_of_file(&file_of_host("h.1")), "h.1");
    }
}
