//! Layered configuration: flag > environment > file > default. One key, three spellings.
//!
//! Takes a [`Program`] (a table of [`Key`]s) and the [`Sources`] of this process.
//! Gives a plain struct, where each value came from, and notes to log once logging works.
//! It must not open anything but the configuration file, and it is the only place that reads the environment.
//!
//! ```text
//! --grpc_port=8891      flag, also --grpc-port 8891, -gp=8891 and the other spellings of XProf 2.21 to 2.24
//! XPROF_GRPC_PORT=8891  environment
//! grpc_port = 8891      file given by --config or XPROF_CONFIG (.toml, .yaml, .yml)
//! ```

mod args;
mod common;
mod file;
mod help;
mod key;
mod load;

pub use args::normalise;
pub use common::{COMMON_KEYS, CommonConfig};
pub use key::{Group, Key, Kind, Program};
pub use load::{Loaded, Setting, Sources, Start, load};

/// A flag, a variable or the file is wrong. The text says which, what was given and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

impl ConfigError {
    /// A value that is not allowed. `name` is spelled as the user spelled its source: `--grpc_port`, `XPROF_GRPC_PORT`.
    pub fn invalid(name: &str, value: &str, allowed: &str) -> Self {
        Self(format!("{name}={value} is not valid: it must be {allowed}"))
    }
}
