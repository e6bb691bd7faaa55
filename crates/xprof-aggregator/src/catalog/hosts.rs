//! Which hosts a session has, which of them a client may choose, and which traces a request selects.
//!
//! Takes file names and request parameters, gives host names and files. Pure: it never touches a file system.

use std::collections::BTreeMap;

use xprof_core::session::{ALL_HOSTS, XPLANE_SUFFIX, host_of_file};
use xprof_core::tools::Params;
use xprof_core::tools::registry::Hosts;

use crate::error::{Error, Result};

/// The ending of a trace in record form. Such a file makes a host, but it cannot be read yet.
const RIEGELI_SUFFIX: &str = ".xplane.riegeli";

/// The trace files of one session by host, in the order of host names.
///
/// The reference keeps the order of the directory, which differs between machines; the sorted order is ours.
pub type HostFiles = BTreeMap<String, String>;

/// The trace files among the names of a session directory. A bare `xplane.pb` belongs to no host.
pub fn host_files<'a>(names: impl IntoIterator<Item = &'a str>) -> HostFiles {
    let mut files = HostFiles::new();
    for name in names {
        if name.len() > XPLANE_SUFFIX.len() && name.ends_with(XPLANE_SUFFIX) {
            // `parity:` profile_plugin.py: of a host with both kinds of file, the record file counts.
            files.entry(host_of_file(name).to_owned()).or_insert_with(|| name.to_owned());
        } else if name.len() > RIEGELI_SUFFIX.len() && name.ends_with(RIEGELI_SUFFIX) {
            files.insert(host_of_file(name).to_owned(), name.to_owned());
        }
    }
    files
}

/// Whether a file name is that of a trace.
pub fn is_trace(name: &str) -> bool {
    name.ends_with(XPLANE_SUFFIX) || name.ends_with(RIEGELI_SUFFIX)
}

/// The host names that `/hosts` offers for a tool with that rule.
pub fn offered(files: &HostFiles, rule: Hosts) -> Vec<String> {
    let mut names: Vec<String> = files.keys().cloned().collect();
    if names.len() > 1 {
        match rule {
            Hosts::Each => {}
            Hosts::All => names = vec![ALL_HOSTS.to_owned()],
            Hosts::EachOrAll => {
                names.push(ALL_HOSTS.to_owned());
                names.sort();
            }
        }
    }
    names
}

/// Which hosts a `/data` request asks for, in the order in which it wants them.
pub fn select(files: &HostFiles, run: &str, tool: &str, params: &Params) -> Result<Vec<String>> {
    if files.is_empty() {
        return Err(Error::NotFound(format!("No xplane file found for run: {run}, tool: {tool}")));
    }
    let known = |host: &str| {
        if files.contains_key(host) {
            Ok(host.to_owned())
        } else {
            Err(Error::NotFound(format!("No xplane file found for host: {host} in run: {run}")))
        }
    };
    let all = || files.keys().cloned().collect();
    // An empty value is as good as none.
    let host = params.non_empty("host").filter(|host| *host != ALL_HOSTS);
    let wants_all = params.get("host") == Some(ALL_HOSTS);
    match (params.non_empty("hosts"), host) {
        // `parity:` a host may be named twice, and `ALL_HOSTS` is no host here.
        (Some(list), _) if matches!(tool, "trace_viewer" | "trace_viewer@") => list.split(',').map(known).collect(),
        (_, Some(host)) => Ok(vec![known(host)?]),
        (Some(_), None) if !wants_all => {
            Err(Error::NotFound(format!("Host must be specified for tool {tool} in run {run}")))
        }
        (_, None) => Ok(all()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(hosts: &[&str]) -> HostFiles {
        hosts.iter().map(|h| ((*h).to_owned(), format!("{h}.xplane.pb"))).collect()
    }

    #[test]
    fn finds_hosts_among_file_names() {
        let found = host_files([
            "b.xplane.riegeli",
            "xplane.pb",
            ".xplane.pb",
            "34.83.195.179_6003.xplane.pb",
            "b.xplane.pb",
            "a.hlo_proto.pb",
            "notes.txt",
        ]);
        let pairs: Vec<_> = found.iter().map(|(h, f)| (h.as_str(), f.as_str())).collect();
        assert_eq!(pairs, [("34.83.195.179_6003", "34.83.195.179_6003.xplane.pb"), ("b", "b.xplane.riegeli")]);
    }

    #[test]
    fn offers_hosts_by_rule() {
        let two = files(&["1host", "zhost"]);
        for (rule, expected) in [
            (Hosts::Each, &["1host", "zhost"][..]),
            (Hosts::EachOrAll, &["1host", "ALL_HOSTS", "zhost"]),
            (Hosts::All, &["ALL_HOSTS"]),
        ] {
            assert_eq!(offered(&two, rule), expected);
            assert_eq!(offered(&files(&["only"]), rule), ["only"]);
            assert!(offered(&files(&[]), rule).is_empty());
        }
    }

    #[test]
    fn selects_hosts_by_the_table() {
        let two = files(&["a", "b"]);
        let ask = |tool: &str, query: &[(&str, &str)]| {
            select(&two, "r", tool, &query.iter().copied().collect()).map_err(|e| e.to_string())
        };
        let both = || Ok(vec!["a".to_owned(), "b".to_owned()]);
        for (tool, query, expected) in [
            ("hlo_stats", &[][..], both()),
            ("hlo_stats", &[("host", "")], both()),
            ("hlo_stats", &[("host", "ALL_HOSTS")], both()),
            ("hlo_stats", &[("host", "b")], Ok(vec!["b".into()])),
            ("hlo_stats", &[("host", "c")], Err("No xplane file found for host: c in run: r".into())),
            ("hlo_stats", &[("hosts", "a")], Err("Host must be specified for tool hlo_stats in run r".into())),
            ("hlo_stats", &[("hosts", "a"), ("host", "b")], Ok(vec!["b".into()])),
            ("trace_viewer@", &[("hosts", "b,a,b")], Ok(vec!["b".into(), "a".into(), "b".into()])),
            ("trace_viewer@", &[("hosts", "b"), ("host", "a")], Ok(vec!["b".into()])),
            ("trace_viewer", &[("hosts", "x")], Err("No xplane file found for host: x in run: r".into())),
            (
                "trace_viewer@",
                &[("hosts", "ALL_HOSTS")],
                Err("No xplane file found for host: ALL_HOSTS in run: r".into()),
            ),
        ] {
            assert_eq!(ask(tool, query), expected, "{tool} {query:?}");
        }
        let none = select(&files(&[]), "r", "t", &Params::new()).unwrap_err();
        assert_eq!(none.to_string(), "No xplane file found for run: r, tool: t");
    }
}
