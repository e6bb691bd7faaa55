//! The exit codes of both programs: those of `sysexits.h`, which supervisors and people already know.

/// Everything went well, also after a signal and a complete drain.
pub const OK: u8 = 0;
/// A flag, an environment variable or the configuration file is wrong.
pub const USAGE: u8 = 64;
/// Something that the program needs is not there: a port is taken, a directory is missing.
pub const UNAVAILABLE: u8 = 69;
/// A defect of the program.
pub const SOFTWARE: u8 = 70;
/// The grace period ended before the running work did.
pub const UNFINISHED: u8 = 75;
