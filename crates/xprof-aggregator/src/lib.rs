//! The aggregator: answers HTTP requests about profiles, alone or by sending map jobs to workers.
//!
//! Read in this order: [`http`] (from a request to a route) → [`catalog`] (which traces) → [`fanout`] (plan, place,
//! dispatch, gather, reduce, render) → [`workers`] (who does it) → [`answer_cache`].
//!
//! Invariants:
//! - The same code maps here and on workers, so answers do not depend on where the work is done.
//! - Nothing is cached by name: a key holds the size and the time of every trace.
//! - A request that nobody waits for any more costs nothing any more, here and on workers.
//! - Nothing is written beside a user's trace.

pub mod answer_cache;
pub mod app;
pub mod catalog;
pub mod config;
pub mod error;
pub mod fanout;
pub mod http;
pub mod serve;
pub mod workers;

pub use app::{App, build};
pub use serve::serve;
