//! The aggregator from outside: requests in, responses out, with and without workers.
//!
//! - `http`: routes, lists, errors, headers, encodings, in process.
//! - `workers`: the same through the fake workers of `fake_worker`.
//! - `failures`: workers that die, are slow or are all gone, and what operators see of it.
//! - `sockets`: connections, keep-alive, draining.

#![allow(clippy::unwrap_used)] // a test that cannot set itself up should say so and stop

mod failures;
mod fake_worker;
mod http;
mod sockets;
mod support;
mod workers;
