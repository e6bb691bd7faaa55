//! Prepare: an XSpace plus what every tool needs to know beyond it: groups (steps), context links, derived lines.
//!
//! Takes columns, gives columns with side tables; nothing is dropped or copied.
//! It must not know any tool: what a step costs or how an event is drawn is decided later.

mod context;
pub mod derived;
mod event_type;
pub mod flows;
pub(crate) mod gnu_sort;
mod group;
mod hlo_fix;
pub mod memo;
pub(crate) mod mix;
mod mutate;
pub mod planes;
pub mod programs;
mod time_order;
pub mod timespan;

use std::sync::Arc;

pub use group::Groups;
use rayon::prelude::*;
pub use timespan::Timespan;

use self::memo::Memo;
use crate::xspace::{StatKind, TraceBytes, XSpace};
use crate::{Diag, Result};

/// One host's trace, ready to be mapped by any tool.
#[derive(Debug)]
pub struct Prepared {
    /// The host: the trace file's base name without `.xplane.pb`.
    pub host: Arc<str>,
    /// Planes, lines and events, grouped and with the derived lines that op statistics need.
    pub space: XSpace,
    /// The groups that preparation made; none if the trace came with its own.
    pub groups: Groups,
    /// Whether the trace came with groups; then nothing of it was changed and nothing is derived from it.
    pub already_grouped: bool,
    /// What later stages computed from this trace and keep with it.
    pub memo: Memo,
}

impl Prepared {
    /// Reads and prepares one trace.
    pub fn read(trace: TraceBytes, host: &str, diag: &mut Diag) -> Result<Self> {
        let space = XSpace::read(trace, &crate::session::file_of_host(host), diag)?;
        Self::new(space, host, diag)
    }

    /// Reads the names and the metadata of a trace, but no events: enough for tools that show programs.
    pub fn catalog(trace: TraceBytes, host: &str, diag: &mut Diag) -> Result<Self> {
        let space = XSpace::read_catalog(trace, &crate::session::file_of_host(host), |_| false, diag)?;
        diag.check()?;
        let (groups, memo) = (Groups::default(), Memo::default());
        Ok(Self { host: host.into(), space, groups, already_grouped: true, memo })
    }

    /// Prepares a trace that was read.
    pub fn new(mut space: XSpace, host: &str, diag: &mut Diag) -> Result<Self> {
        diag.check()?;
        hlo_fix::run(&mut space);
        let already_grouped = is_grouped(&space);
        let mut groups = Groups::default();
        if !already_grouped {
            space.planes.par_iter_mut().with_max_len(1).try_for_each(|plane| mutate::run(plane, diag))?;
            groups = group::run(&mut space, diag)?;
        }
        Ok(Self { host: host.into(), space, groups, already_grouped, memo: Memo::default() })
    }

    /// Roughly the bytes of memory held beside the file itself.
    pub fn weight(&self) -> usize {
        self.space.weight() + self.groups.weight() + self.memo.weight()
    }
}

/// Whether every plane of a host or device already knows a stat of that name: then the producer has grouped the trace.
/// `parity:` whether an event has the stat does not matter.
fn is_grouped(space: &XSpace) -> bool {
    space
        .planes
        .iter()
        .filter(|p| planes::is_host(&p.name) || planes::is_device(&p.name))
        .all(|p| p.declares(StatKind::GroupId))
}
