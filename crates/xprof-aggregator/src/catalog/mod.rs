//! What there is to look at: runs, their hosts, their tools and modules.
//!
//! Takes request parameters, gives names and traces. It analyses nothing.

pub mod facts;
pub mod hosts;
pub mod listing;
pub mod runs;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _, stream};
use xprof_core::session::{XPLANE_SUFFIX, host_of_file};
use xprof_core::tools::hlo_module::ModuleQuery;
use xprof_core::tools::{Params, RunFacts};
use xprof_service::engine::Engine;
use xprof_service::storage::{DirEntry, EntryKind, StorageError, TraceIdentity};

use crate::error::{Error, FailedHost, Result};
use crate::fanout::Trace;
use crate::fanout::local::storage_error;
use facts::Facts;
use hosts::{HostFile, HostFiles, is_trace};
use listing::{Listings, Seen};
use runs::{Walker, directory_of_run};

/// A list of runs is walked for at most this often: a page that asks for it in a loop must not keep the disk busy.
const RUNS_FRESH_FOR: Duration = Duration::from_millis(500);

/// Files that are looked at on the thread of the request; a look takes a microsecond or two.
const MAX_INLINE: usize = 64;

/// Directories below `run_path` that are looked into at once.
const AT_ONCE: usize = 16;

/// The sessions that this server can see.
#[derive(Debug)]
pub struct Catalog {
    logdir: Option<PathBuf>,
    listings: Listings,
    runs: Arc<Mutex<RunList>>,
    facts: Facts,
}

/// The list of runs and when its walk began.
#[derive(Debug, Default)]
struct RunList {
    walker: Walker,
    walked: Option<Instant>,
    names: Arc<Vec<String>>,
}

/// What the file system says about a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The run's name.
    pub name: String,
    /// Hosts with a trace.
    pub n_hosts: usize,
    /// Bytes of their traces.
    pub bytes: u64,
    /// When the newest of them was written, in nanoseconds since 1970; 0 if there is none.
    pub modified_unix_ns: i64,
    /// What a scan of one of them found, if there was one since they were written.
    pub facts: Option<Arc<RunFacts>>,
}

/// One session directory as it was when the request came.
#[derive(Debug)]
pub struct Session {
    /// The run's name as the client gave it.
    pub run: String,
    directory: PathBuf,
    seen: Seen,
}

impl Session {
    /// Its traces by host.
    pub fn files(&self) -> &HostFiles {
        &self.seen.directory.files
    }

    /// The traces of these hosts of the session as they are now, and the hosts that have none (any more), if others have.
    /// An empty file is what an interrupted capture leaves: beside other traces it is none. Alone it is a trace without planes.
    pub async fn traces(&self, chosen: &[HostFile]) -> Result<(Vec<Trace>, Vec<FailedHost>)> {
        let (mut traces, mut gone) = (Vec::with_capacity(chosen.len()), Vec::new());
        for (found, HostFile { host, file }) in self.look(chosen).await?.into_iter().zip(chosen) {
            match found {
                Some(trace) => traces.push(trace),
                None => {
                    gone.push(FailedHost { host: Arc::clone(host), cause: format!("{file} does not exist any more") });
                }
            }
        }
        if traces.iter().any(|trace| trace.identity.size_bytes > 0) {
            for empty in traces.extract_if(.., |trace| trace.identity.size_bytes == 0) {
                let file = empty.identity.path.file_name().unwrap_or_default().to_string_lossy();
                gone.push(FailedHost { cause: format!("{file} is empty"), host: empty.host });
            }
        }
        match gone.first() {
            Some(first) if traces.is_empty() => Err(Error::NotFound(first.cause.clone())),
            _ => Ok((traces, gone)),
        }
    }

    async fn look(&self, chosen: &[HostFile]) -> Result<Vec<Option<Trace>>> {
        if self.seen.is_fresh {
            let entries = self.seen.directory.listing.entries();
            let by_name: HashMap<&str, &DirEntry> = entries.iter().map(|e| (e.name.as_str(), e)).collect();
            return Ok(chosen.iter().map(|f| Some(self.listed(f, by_name.get(f.file.as_str())?))).collect());
        }
        if chosen.len() <= MAX_INLINE {
            return Ok(chosen.iter().map(|f| now(&self.seen, f)).collect());
        }
        let (seen, files) = (self.seen.clone(), chosen.to_vec());
        let look = move || files.iter().map(|f| now(&seen, f)).collect();
        tokio::task::spawn_blocking(look).await.map_err(|e| Error::Internal(e.to_string()))
    }

    /// The trace of a host as the directory's listing describes it.
    fn listed(&self, chosen: &HostFile, entry: &DirEntry) -> Trace {
        let identity = TraceIdentity {
            path: self.directory.join(&chosen.file),
            size_bytes: entry.size_bytes,
            modified_unix_ns: entry.modified_unix_ns,
        };
        Trace { host: Arc::clone(&chosen.host), identity }
    }

    /// Every trace in the order of file names. A file that is named `xplane.pb` and nothing else belongs to no host, but
    /// tells what the run offers.
    async fn all_traces(&self) -> Vec<Trace> {
        let entries = self.seen.directory.listing.entries().iter().filter(|e| e.kind == EntryKind::File);
        let names = entries.map(|e| e.name.as_str());
        let mut files: Vec<HostFile> = names
            .filter(|n| n.ends_with(XPLANE_SUFFIX) || *n == XPLANE_SUFFIX.trim_start_matches('.'))
            .map(|name| HostFile { host: host_of_file(name).into(), file: name.to_owned() })
            .collect();
        files.sort_unstable_by(|a, b| a.file.cmp(&b.file));
        self.look(&files).await.unwrap_or_default().into_iter().flatten().collect()
    }
}

/// The trace of a host as the file system describes it now.
fn now(seen: &Seen, chosen: &HostFile) -> Option<Trace> {
    let identity = seen.directory.listing.identity(&chosen.file)?;
    Some(Trace { host: Arc::clone(&chosen.host), identity })
}

impl Catalog {
    /// The sessions below a log directory, and those that requests name by path.
    pub fn new(logdir: Option<PathBuf>, engine: &Engine) -> Self {
        Self {
            logdir,
            listings: Listings::new(Arc::clone(engine.storage())),
            runs: Arc::default(),
            facts: Facts::new(engine.clone()),
        }
    }

    /// The names of all runs, descending.
    pub async fn runs(&self, params: &Params) -> Result<Arc<Vec<String>>> {
        match Override::of(params) {
            Some(chosen) => Ok(Arc::new(self.run_map(chosen).await?.into_keys().rev().collect())),
            None => match &self.logdir {
                Some(logdir) => self.walk(logdir.clone()).await,
                None => Ok(Arc::default()),
            },
        }
    }

    /// What there is to know about all runs without reading a trace, in the order of [`Self::runs`].
    pub async fn summaries(&self, params: &Params) -> Result<Vec<Summary>> {
        let names = self.runs(params).await?;
        let runs: Vec<_> = names.iter().map(|name| self.summary(name, params)).collect();
        Ok(stream::iter(runs).buffered(AT_ONCE).collect().await)
    }

    /// A run that cannot be listed has no hosts.
    async fn summary(&self, run: &str, params: &Params) -> Summary {
        let mut summary = Summary { name: run.to_owned(), ..Summary::default() };
        let of_run = params.iter().filter(|(name, _)| *name != "run").chain([("run", run)]).collect();
        let Ok(session) = self.session(&of_run).await else {
            return summary;
        };
        let files: HashMap<&str, &HostFile> = session.files().iter().map(|f| (f.file.as_str(), f)).collect();
        let entries = session.seen.directory.listing.entries().iter();
        let listed = entries.filter_map(|e| Some(session.listed(files.get(e.name.as_str())?, e).identity));
        let traces: Vec<TraceIdentity> = listed.collect();
        summary.n_hosts = traces.len();
        summary.bytes = traces.iter().map(|t| t.size_bytes).sum();
        summary.modified_unix_ns = traces.iter().map(|t| t.modified_unix_ns).max().unwrap_or_default();
        summary.facts = self.facts.known(&traces).await;
        summary
    }

    /// The session that a request names. A run that does not exist is a session without traces.
    pub async fn session(&self, params: &Params) -> Result<Session> {
        let run = params.get("run");
        let directory = match (Override::of(params), &self.logdir) {
            (Some(chosen), _) => self.overridden(chosen, run).boxed().await?,
            (None, None) => {
                return Err(Error::BadRequest(
                    "this server has no log directory: name the session by session_path or run_path".into(),
                ));
            }
            (None, Some(logdir)) => {
                let run = run.ok_or_else(|| Error::BadRequest("the parameter run is missing".into()))?;
                directory_of_run(logdir, run)
            }
        };
        let seen = match self.listings.list(&directory).await {
            Ok(seen) => seen,
            Err(StorageError::NotFound { .. } | StorageError::WrongKind { .. }) => Seen::default(),
            Err(error) => return Err(storage_error(error)),
        };
        Ok(Session { run: run.unwrap_or_default().to_owned(), directory, seen })
    }

    /// The trace of the one host that a request names, if that is known to have one and still has: then it makes no
    /// difference what else its session holds, and nobody has to look.
    pub fn named(&self, params: &Params) -> Option<Trace> {
        let (host, run) = (hosts::named(params)?, params.get("run")?);
        if Override::of(params).is_some() {
            return None;
        }
        let directory = self.listings.kept(&directory_of_run(self.logdir.as_ref()?, run))?;
        let HostFile { host, file } = directory.files.get(host)?;
        let identity = directory.listing.identity(file).filter(|now| now.size_bytes > 0)?;
        file.ends_with(XPLANE_SUFFIX).then(|| Trace { host: Arc::clone(host), identity })
    }

    /// The tools that a session offers.
    pub async fn tools(&self, session: &Session) -> Vec<String> {
        self.facts.tools(&session.all_traces().await).await
    }

    /// The modules that a session holds.
    pub async fn modules(&self, session: &Session) -> Vec<String> {
        self.facts.modules(&session.all_traces().await).await
    }

    /// The traces in which a module is looked for: of the chosen ones the first that holds it, else the first of the session.
    /// `parity:` the modules of all hosts are one list, whichever host a request names.
    pub async fn traces_with_module(&self, session: &Session, chosen: Vec<Trace>, query: &ModuleQuery) -> Vec<Trace> {
        if chosen.len() == session.files().iter().count() && chosen.len() == 1 {
            return chosen;
        }
        let all = session.all_traces().await;
        if query.names_none() {
            return all;
        }
        let others = all.into_iter().filter(|trace| !chosen.contains(trace));
        for trace in chosen.iter().cloned().chain(others) {
            if self.facts.has_module(&trace, query).await {
                return vec![trace];
            }
        }
        chosen
    }

    /// Walks the log directory, unless that was done just now.
    async fn walk(&self, logdir: PathBuf) -> Result<Arc<Vec<String>>> {
        let runs = Arc::clone(&self.runs);
        let walk = tokio::task::spawn_blocking(move || {
            // Requests that come together wait here and then find the list fresh.
            let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
            if runs.walked.is_none_or(|at| at.elapsed() > RUNS_FRESH_FOR) {
                // The age counts from the begin of the walk: what was made during it may be missing.
                let began = Instant::now();
                runs.names = Arc::new(runs.walker.runs(&logdir));
                runs.walked = Some(began);
            }
            Arc::clone(&runs.names)
        });
        walk.await.map_err(|e| Error::Internal(e.to_string()))
    }

    async fn overridden(&self, chosen: Override<'_>, run: Option<&str>) -> Result<PathBuf> {
        // The usual case needs one look, however many sessions lie beside the one that is asked for.
        let likely = run.and_then(|run| chosen.directory_of(run));
        if let Some(directory) = likely
            && self.has_traces(&directory).await?
        {
            return Ok(directory);
        }
        let map = self.run_map(chosen).await?;
        let name = run.unwrap_or("None");
        let fields: Vec<_> =
            map.iter().map(|(k, v)| format!("{}: {}", quoted(k), quoted(&v.to_string_lossy()))).collect();
        // `parity:` the reference's words, which show the map as Python does.
        Err(Error::NotFound(format!("Run {name} not found in run map: {{{}}}", fields.join(", "))))
    }

    async fn run_map(&self, chosen: Override<'_>) -> Result<BTreeMap<String, PathBuf>> {
        match chosen {
            Override::Session(path) => {
                let found = self.has_traces(Path::new(path)).await?;
                Ok(found.then(|| (base_name(path).to_owned(), PathBuf::from(path))).into_iter().collect())
            }
            Override::Runs(path) => {
                let parent = Path::new(path);
                let seen = match self.listings.list(parent).await {
                    Err(StorageError::NotFound { .. }) => Seen::default(),
                    result => result.map_err(storage_error)?,
                };
                let mut children = Vec::new();
                for child in seen.directory.listing.entries().iter().filter(|e| e.kind == EntryKind::Directory) {
                    children.push(self.run_map_entry(child.name.clone(), parent.join(&child.name)));
                }
                Ok(stream::iter(children).buffered(AT_ONCE).collect::<Vec<_>>().await.into_iter().flatten().collect())
            }
        }
    }

    /// A child of `run_path`, if it holds a trace. One that leads out of the permitted roots is as good as absent.
    async fn run_map_entry(&self, name: String, directory: PathBuf) -> Option<(String, PathBuf)> {
        self.has_traces(&directory).await.unwrap_or(false).then_some((name, directory))
    }

    async fn has_traces(&self, directory: &Path) -> Result<bool> {
        match self.listings.list(directory).await {
            Ok(seen) => {
                let mut entries = seen.directory.listing.entries().iter();
                Ok(entries.any(|e| e.kind == EntryKind::File && is_trace(&e.name)))
            }
            Err(StorageError::NotFound { .. } | StorageError::WrongKind { .. }) => Ok(false),
            Err(error) => Err(storage_error(error)),
        }
    }
}

/// How a request names its session when not by the log directory.
#[derive(Debug, Clone, Copy)]
enum Override<'a> {
    /// One session directory.
    Session(&'a str),
    /// A directory that holds session directories.
    Runs(&'a str),
}

impl<'a> Override<'a> {
    fn of(params: &'a Params) -> Option<Self> {
        let trimmed = |path: &'a str| {
            if path.len() > 1 { path.trim_end_matches('/') } else { path }
        };
        let session = params.non_empty("session_path").map(|path| Self::Session(trimmed(path)));
        session.or_else(|| params.non_empty("run_path").map(|path| Self::Runs(trimmed(path))))
    }

    /// The directory that a run's name stands for, if the name is one that the run map can hold.
    fn directory_of(self, run: &str) -> Option<PathBuf> {
        match self {
            Self::Session(path) => (base_name(path) == run).then(|| path.into()),
            Self::Runs(path) => {
                let plain = !run.is_empty() && !run.contains('/') && run != "." && run != "..";
                plain.then(|| Path::new(path).join(run))
            }
        }
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A text as Python shows it.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_have_an_order() {
        let of = |pairs: &[(&str, &str)]| format!("{:?}", Override::of(&pairs.iter().copied().collect()));
        assert_eq!(of(&[]), "None");
        assert_eq!(of(&[("session_path", ""), ("run_path", "/b/")]), "Some(Runs(\"/b\"))");
        assert_eq!(of(&[("session_path", "/a//"), ("run_path", "/b")]), "Some(Session(\"/a\"))");
        assert_eq!(of(&[("session_path", "/")]), "Some(Session(\"/\"))");
        assert_eq!(Override::Runs("/b").directory_of("../c"), None);
        assert_eq!(Override::Session("/b/c").directory_of("c"), Some("/b/c".into()));
    }

    #[test]
    fn quotes_as_python_does() {
        for (text, expected) in [("a", "'a'"), ("it's", "\"it's\""), ("'\"", "'\\'\"'"), ("a\\\n", "'a\\\\\\n'")] {
            assert_eq!(quoted(text), expected);
        }
    }
}
