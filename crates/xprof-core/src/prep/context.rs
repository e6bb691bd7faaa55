//! Types of contexts: what kind of hand-over links a producer and a consumer.

/// Links that this program made of an executor's iterations.
pub(super) const LEGACY: i64 = 1;
/// A launch and the execution of a GPU kernel.
pub(super) const GPU_LAUNCH: i64 = 9;
/// A request in a TPU's queue.
pub(super) const TPU_STREAM: i64 = 11;
/// A program's launch and its execution on a TPU.
pub(super) const TPU_LAUNCH: i64 = 12;
/// The last type that has a name; larger ones count as 0.
pub(super) const LAST: i64 = 17;
