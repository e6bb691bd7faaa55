//! Tests of real processes, one file per topic; `tests/README.md` says where a new one goes.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod cli;
mod damaged;
mod dev;
mod distributed;
mod failover;
mod grpc;
mod interop;
mod k8s;
mod load;
mod partial;
mod wide;
