//! Reads the configuration file: TOML or YAML by its ending. Keys are those of the flags, at the top level.

use std::collections::BTreeMap;
use std::path::Path;

use figment::Figment;
use figment::providers::{Format, Toml, Yaml};
use figment::value::{Num, Value};

use super::{ConfigError, Key, Program};

/// Each key of the file with its value as text, as if it had been typed behind a flag.
pub(super) fn read(program: &Program, path: &str) -> Result<Vec<(&'static Key, String)>, ConfigError> {
    let file = Path::new(path);
    if !file.is_file() {
        return Err(ConfigError(format!("the configuration file {path} does not exist or is not a file")));
    }
    let figment = match file.extension().and_then(|e| e.to_str()) {
        Some("toml") => Figment::from(Toml::file_exact(file)),
        Some("yaml" | "yml") => Figment::from(Yaml::file_exact(file)),
        _ => {
            return Err(ConfigError(format!("the configuration file {path} must end in .toml, .yaml or .yml")));
        }
    };
    let values: BTreeMap<String, Value> = figment
        .extract()
        .map_err(|error| ConfigError(format!("the configuration file {path} cannot be read: {error}")))?;
    values
        .into_iter()
        .map(|(name, value)| {
            let key = program
                .key(&name)
                .ok_or_else(|| ConfigError(format!("{name} in {path} is not a key of {}, see --help", program.name)))?;
            let text = text_of(&value).ok_or_else(|| {
                ConfigError(format!("{name} in {path} is not valid: it must be {}", key.kind.allowed()))
            })?;
            Ok((key, text))
        })
        .collect()
}

fn text_of(value: &Value) -> Option<String> {
    Some(match value {
        Value::String(_, text) => text.clone(),
        Value::Bool(_, b) => b.to_string(),
        Value::Num(_, Num::F32(f)) => f.to_string(),
        Value::Num(_, Num::F64(f)) => f.to_string(),
        Value::Num(_, number) => {
            number.to_i128().map(|n| n.to_string()).or_else(|| number.to_u128().map(|n| n.to_string()))?
        }
        Value::Array(_, items) => items.iter().map(text_of).collect::<Option<Vec<_>>>()?.join(","),
        Value::Empty(..) => String::new(),
        Value::Char(_, c) => c.to_string(),
        Value::Dict(..) => return None,
    })
}
