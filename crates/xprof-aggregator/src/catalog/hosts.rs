//! Which hosts a session has, which of them a client may choose, and which traces a request selects.
//!
//! Takes file names and request parameters, gives host names and files. Pure: it never touches a file system.

use std::collections::HashSet;
use std::sync::Arc;

use xprof_core::session::{ALL_HOSTS, XPLANE_SUFFIX, host_of_file};
use xprof_core::tools::Params;
use xprof_core::tools::registry::Hosts;

use crate::error::{Error, FailedHost, Result};

/// The ending of a trace in record form. Such a file makes a host, but it cannot be read yet.
const RIEGELI_SUFFIX: &str = ".xplane.riegeli";

/// One host and its trace file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFile {
    /// The host's name.
    pub host: Arc<str>,
    /// The file's name.
    pub file: String,
}

/// The trace files of one session, one per host, in the order of the directory.
///
/// `parity:` profile_plugin.py keeps what the file system lists in that order: first the hosts of `.xplane.pb` files, then those
/// that have a record file only. Merged answers and the process ids of a timeline follow it.
#[derive(Debug, Clone, Default)]
pub struct HostFiles(Vec<HostFile>);

impl HostFiles {
    /// The trace files among the names of a session directory. A bare `xplane.pb` belongs to no host.
    pub fn among<'a>(names: &(impl Iterator<Item = &'a str> + Clone)) -> Self {
        let of = |suffix: &'static str| {
            names
                .clone()
                .filter(move |name| name.len() > suffix.len() && name.ends_with(suffix))
                .map(|name| HostFile { host: host_of_file(name).into(), file: name.to_owned() })
        };
        let mut files: Vec<HostFile> = of(XPLANE_SUFFIX).collect();
        let n_plain = files.len();
        for record in of(RIEGELI_SUFFIX) {
            // `parity:` of a host with both kinds of file, the record file counts.
            match files[..n_plain].iter_mut().find(|f| f.host == record.host) {
                Some(plain) => *plain = record,
                None => files.push(record),
            }
        }
        Self(files)
    }

    /// In the order of the directory.
    pub fn iter(&self) -> impl Iterator<Item = &HostFile> {
        self.0.iter()
    }

    /// The hosts' names, sorted.
    pub fn sorted_hosts(&self) -> Vec<String> {
        let mut names: Vec<String> = self.iter().map(|f| f.host.to_string()).collect();
        names.sort_unstable();
        names
    }

    /// That of one host.
    pub fn get(&self, host: &str) -> Option<&HostFile> {
        self.iter().find(|f| &*f.host == host)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a file name is that of a trace.
pub fn is_trace(name: &str) -> bool {
    name.ends_with(XPLANE_SUFFIX) || name.ends_with(RIEGELI_SUFFIX)
}

/// The host names that `/hosts` offers for a tool with that rule.
pub fn offered(files: &HostFiles, rule: Hosts) -> Vec<String> {
    let mut names = files.sorted_hosts();
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

/// What a `/data` request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selected {
    /// Its hosts in the order in which it wants them: its own, or that of the directory.
    pub files: Vec<HostFile>,
    /// Hosts that it names and that have no trace.
    pub missing: Vec<FailedHost>,
}

impl From<Vec<HostFile>> for Selected {
    fn from(files: Vec<HostFile>) -> Self {
        Self { files, missing: Vec::new() }
    }
}

/// So many hosts a list may always name, and twice as many as there are. A host may be named more than once and is then
/// shown as often: without a limit, a short request would ask for an answer of any size.
const MAX_NAMED: usize = 16;

/// The one host that a request asks for, if it is one and asks for it by name.
pub fn named(params: &Params) -> Option<&str> {
    // A list is for some tools only, and then goes before a single name.
    if params.non_empty("hosts").is_some() {
        return None;
    }
    params.non_empty("host").filter(|host| *host != ALL_HOSTS)
}

/// Names the hosts that stand for all of a run: `among=a,b` with `host=ALL_HOSTS`, for every tool that takes more than one.
/// The reference's `hosts` cannot: its front end drags that along from the timeline to tools that ignore it.
pub const AMONG: &str = "among";

/// Which hosts a `/data` request asks for. A list is good while one of its hosts has a trace.
pub fn select(files: &HostFiles, run: &str, tool: &str, params: &Params) -> Result<Selected> {
    if files.is_empty() {
        return Err(Error::NotFound(format!("No xplane file found for run: {run}, tool: {tool}")));
    }
    let unknown = |host: &str| format!("No xplane file found for host: {host} in run: {run}");
    let known = |host: &str| files.get(host).cloned().ok_or_else(|| Error::NotFound(unknown(host)));
    // An empty value is as good as none.
    let host = params.non_empty("host").filter(|host| *host != ALL_HOSTS);
    let wants_all = params.get("host") == Some(ALL_HOSTS);
    let named = |list: &str| {
        let mut selected = Selected::default();
        let (n_named, most) = (list.split(',').count(), MAX_NAMED.max(2 * files.iter().count()));
        if n_named > most {
            let why = format!("{n_named} hosts are named, more than {most}: run {run} has fewer");
            return Err(Error::BadRequest(why));
        }
        for host in list.split(',') {
            match files.get(host) {
                Some(file) => selected.files.push(file.clone()),
                None => selected.missing.push(FailedHost { host: host.into(), cause: unknown(host) }),
            }
        }
        match selected.missing.first() {
            Some(first) if selected.files.is_empty() => Err(Error::NotFound(first.cause.clone())),
            _ => Ok(selected),
        }
    };
    match (params.non_empty("hosts"), host) {
        // `parity:` a host may be named twice, and `ALL_HOSTS` is no host here.
        (Some(list), _) if matches!(tool, "trace_viewer" | "trace_viewer@") => named(list),
        (_, Some(host)) => Ok(vec![known(host)?].into()),
        (Some(_), None) if !wants_all => {
            Err(Error::NotFound(format!("Host must be specified for tool {tool} in run {run}")))
        }
        (_, None) => match params.non_empty(AMONG) {
            Some(list) => {
                let mut selected = named(list)?;
                // Numbers of a host that is named twice must not count twice.
                let mut seen = HashSet::new();
                selected.files.retain(|f| seen.insert(Arc::clone(&f.host)));
                Ok(selected)
            }
            None => Ok(files.iter().cloned().collect::<Vec<_>>().into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(hosts: &[&str]) -> HostFiles {
        let names: Vec<String> = hosts.iter().map(|h| format!("{h}.xplane.pb")).collect();
        HostFiles::among(&names.iter().map(String::as_str))
    }

    #[test]
    fn finds_hosts_among_file_names() {
        let names = [
            "c.xplane.riegeli",
            "b.xplane.riegeli",
            "xplane.pb",
            ".xplane.pb",
            "b.xplane.pb",
            "34.83.195.179_6003.xplane.pb",
            "a.hlo_proto.pb",
            "notes.txt",
        ];
        let found = HostFiles::among(&names.into_iter());
        let pairs: Vec<_> = found.iter().map(|f| (&*f.host, f.file.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("b", "b.xplane.riegeli"),
                ("34.83.195.179_6003", "34.83.195.179_6003.xplane.pb"),
                ("c", "c.xplane.riegeli")
            ],
            "in the order of the directory"
        );
    }

    #[test]
    fn offers_hosts_by_rule() {
        let two = files(&["zhost", "1host"]);
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
        let two = files(&["b", "a"]);
        let ask = |tool: &str, query: &[(&str, &str)]| {
            let chosen = select(&two, "r", tool, &query.iter().copied().collect());
            let named = |s: Selected| {
                let files = s.files.iter().map(|f| f.host.to_string());
                files.chain(s.missing.iter().map(|m| format!("no {}", m.host))).collect()
            };
            chosen.map(named).map_err(|e| e.to_string())
        };
        // As the directory lists them, unless the request has an order of its own.
        let both = || Ok(vec!["b".to_owned(), "a".to_owned()]);
        for (tool, query, expected) in [
            ("hlo_stats", &[][..], both()),
            ("hlo_stats", &[("host", "")], both()),
            ("hlo_stats", &[("host", "ALL_HOSTS")], both()),
            ("hlo_stats", &[("host", "b")], Ok(vec!["b".into()])),
            ("hlo_stats", &[("host", "c")], Err("No xplane file found for host: c in run: r".into())),
            ("hlo_stats", &[("hosts", "a")], Err("Host must be specified for tool hlo_stats in run r".into())),
            ("hlo_stats", &[("hosts", "a"), ("host", "b")], Ok(vec!["b".into()])),
            ("hlo_stats", &[("among", "a,b,a"), ("host", "ALL_HOSTS")], Ok(vec!["a".into(), "b".into()])),
            ("hlo_stats", &[("among", "a,x"), ("host", "ALL_HOSTS")], Ok(vec!["a".into(), "no x".into()])),
            ("hlo_stats", &[("among", "x")], Err("No xplane file found for host: x in run: r".into())),
            ("hlo_stats", &[("among", "a"), ("host", "b")], Ok(vec!["b".into()])),
            ("memory_viewer", &[("host", "a")], Ok(vec!["a".into()])),
            ("graph_viewer", &[("host", "c")], Err("No xplane file found for host: c in run: r".into())),
            ("trace_viewer@", &[("hosts", "a,b")], Ok(vec!["a".into(), "b".into()])),
            ("trace_viewer@", &[("hosts", "b,a,b")], Ok(vec!["b".into(), "a".into(), "b".into()])),
            ("trace_viewer@", &[("hosts", "b"), ("host", "a")], Ok(vec!["b".into()])),
            ("trace_viewer@", &[("hosts", "x,b,,a")], Ok(["b", "a", "no x", "no "].map(String::from).into())),
            ("trace_viewer", &[("hosts", "x")], Err("No xplane file found for host: x in run: r".into())),
            (
                "trace_viewer@",
                &[("hosts", "ALL_HOSTS")],
                Err("No xplane file found for host: ALL_HOSTS in run: r".into()),
            ),
        ] {
            assert_eq!(ask(tool, query), expected, "{tool} {query:?}");
        }
        let many = vec!["a"; MAX_NAMED + 1].join(",");
        let refused = ask("trace_viewer@", &[("hosts", &many)]).unwrap_err();
        assert!(refused.contains("17 hosts are named, more than 16"), "{refused}");
        let none = select(&files(&[]), "r", "t", &Params::new()).unwrap_err();
        assert_eq!(none.to_string(), "No xplane file found for run: r, tool: t");
    }
}
