#![allow(unsafe_code)]
//! Maps a trace into memory: the only file of this workspace with `unsafe`.
//!
//! Safety argument. A map is sound to read as `&[u8]` while nobody changes the file. Traces are written once by the
//! profiler and then left alone, but nothing enforces that, so this is what stands against it:
//! - Files below 1 MiB are never mapped (see `local.rs`); `--trace_read=copy` maps nothing at all.
//! - A file that is *replaced* (written beside and renamed, as this project and XProf's exporters do) is no problem: the map keeps the old one.
//! - A file that is *overwritten in place* can show bytes of both versions. The reader accepts arbitrary bytes without
//!   panicking and keeps no index into them that it does not check, so the worst case is a wrong answer; the engine compares the
//!   identity (size and modification time) again after the work and throws such an answer away.
//!
//! What remains: a file that is *cut shorter* while it is mapped, or whose file system fails (a network mount that goes away),
//! ends the process with SIGBUS at the next access to the missing page. There is no portable way to turn that into an error.
//! Where it can happen, `--trace_read=copy` is the answer.
//! And in the letter of Rust's memory model bytes that change under a `&[u8]` are undefined behaviour; no compiler in use
//! exploits it for reads of a shared map, and every mapping library rests on the same assumption.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Advice, Mmap, MmapOptions, UncheckedAdvice};
use xprof_core::xspace::{Pages, TraceBytes};

/// Pages below this need no advice: a call of the operating system costs more than they hold.
const LEAST_RELEASE_BYTES: usize = 1 << 20;

/// Every page size in use divides this.
const ALIGNMENT: usize = 64 << 10;

struct Mapped(Mmap);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Shares ownership of the map between the bytes and the one who releases pages.
struct Shared(Arc<Mapped>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().as_ref()
    }
}

impl Pages for Mapped {
    fn release(&self, range: Range<usize>) {
        // Inwards to whole pages: a neighbour may still be reading the pages at the edges.
        let start = range.start.saturating_add(ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        let end = range.end.min(self.0.len()) / ALIGNMENT * ALIGNMENT;
        if end <= start || end - start < LEAST_RELEASE_BYTES {
            return;
        }
        // SAFETY: the map is read-only and backed by a file, so DONTNEED only drops this process's page table entries;
        // the next access reads the same bytes from the page cache. No pointer becomes invalid.
        let advised = unsafe { self.0.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
        if let Err(error) = advised {
            tracing::debug!(%error, "pages were not released");
        }
    }
}

/// Maps the first `size` bytes of a file.
pub(super) fn map(file: &File, size: u64) -> io::Result<TraceBytes> {
    let len = usize::try_from(size).map_err(io::Error::other)?;
    // SAFETY: see the safety argument at the top of this file.
    let map = unsafe { MmapOptions::new().len(len).map(file)? };
    // The reader goes through a file from front to back and reads all of it, so read-ahead may be wide and start now.
    // Advice that the system does not take changes nothing but speed.
    for advice in [Advice::Sequential, Advice::WillNeed] {
        if let Err(error) = map.advise(advice) {
            tracing::debug!(%error, "read-ahead advice was not taken");
        }
    }
    let mapped = Arc::new(Mapped(map));
    Ok(TraceBytes::with_pages(Bytes::from_owner(Shared(Arc::clone(&mapped))), mapped))
}
