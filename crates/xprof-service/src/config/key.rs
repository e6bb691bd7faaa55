//! What may be configured: one table row per key, from which flags, environment names, help and checks are made.

use super::ConfigError;

/// What a value looks like. Each kind knows its check and how to describe it to a person.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `true` or `false`; the flag alone means `true`, `--no` before its name means `false`.
    Switch,
    /// Any text.
    Text,
    /// A whole number of this range, both ends included.
    Integer(i64, i64),
    /// A time in seconds (`30`, `30s`, `500ms`, `5m`, `1h`), kept in milliseconds.
    Duration,
    /// Such a time, and not 0.
    PositiveDuration,
    /// A number of bytes (`1073741824`, `1GiB`, `500MB`, `0` for automatic).
    Bytes,
    /// Texts separated by commas.
    List,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// One thing that may be set.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// `grpc_port`: the flag, the key in a file and, in upper case after `XPROF_`, the environment variable.
    pub name: &'static str,
    /// Old short spellings without the dash: `g`, `gp`.
    pub short: &'static [&'static str],
    /// Other environment variables that mean the same, such as `GRPC_LB_POLICY`.
    pub env: &'static [&'static str],
    /// What a value looks like.
    pub kind: Kind,
    /// The default as text, empty for none.
    pub default: &'static str,
    /// The word for the value in the help.
    pub value: &'static str,
    /// What it does, for people.
    pub help: &'static str,
}

impl Key {
    /// A key without old spellings and without default; the rest is set with struct update syntax.
    pub const BLANK: Self =
        Self { name: "", short: &[], env: &[], kind: Kind::Text, default: "", value: "TEXT", help: "" };

    /// `XPROF_GRPC_PORT`.
    pub fn env_name(&self) -> String {
        format!("XPROF_{}", self.name.to_ascii_uppercase())
    }
}

/// Keys under one heading of the help.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The heading.
    pub title: &'static str,
    /// The keys.
    pub keys: &'static [Key],
}

/// One executable and everything that may be said to it.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// `xprof-worker`.
    pub name: &'static str,
    /// What the program is, some sentences.
    pub about: &'static str,
    /// Examples, one for each way to deploy it.
    pub examples: &'static str,
    /// All keys.
    pub groups: &'static [Group],
    /// The names of the keys that may be given by position, in order.
    pub positional: &'static [&'static str],
}

impl Program {
    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.groups.iter().flat_map(|g| g.keys)
    }

    /// The key of that name; `-` and `_` are the same.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys().find(|k| same_name(k.name, name))
    }

    /// The key whose old short spelling this is.
    pub fn short(&self, short: &str) -> Option<&'static Key> {
        self.keys().find(|k| k.short.contains(&short))
    }
}

/// What loading itself understands; neither may stand in a file.
pub(super) const BUILT_IN: &[Key] = &[
    Key {
        name: "config",
        value: "FILE",
        help: "File with any of these keys, .toml or .yaml; the environment and flags win over it.",
        ..Key::BLANK
    },
    Key {
        name: "print_config",
        kind: Kind::Switch,
        help: "Print every key with its value and where that comes from, then exit. The output is a configuration file.",
        ..Key::BLANK
    },
];

pub(super) fn same_name(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(x, y)| x == y || (x == b'_' && y == b'-'))
}

/// A checked value, in the form that the configuration struct holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Typed {
    Bool(bool),
    Integer(i64),
    Text(String),
    List(Vec<String>),
}

impl Kind {
    /// What is allowed, to be read after "it must be".
    pub fn allowed(self) -> String {
        match self {
            Self::Switch => "true or false".into(),
            Self::Text => "a text".into(),
            Self::Integer(lo, i64::MAX) => format!("a whole number, {lo} or more"),
            Self::Integer(lo, hi) => format!("a whole number from {lo} to {hi}"),
            Self::Duration => "a time such as 30, 30s, 500ms or 5m".into(),
            Self::PositiveDuration => "a time above 0 such as 30, 30s, 500ms or 5m".into(),
            Self::Bytes => "a number of bytes such as 1073741824, 1GiB or 500MB".into(),
            Self::List => "texts separated by commas".into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }

    /// Checks a text. `source` is how the user spelled the key.
    pub(super) fn parse(self, source: &str, text: &str) -> Result<Typed, ConfigError> {
        let wrong = || ConfigError::invalid(source, text, &self.allowed());
        let trimmed = text.trim();
        Ok(match self {
            Self::Switch => match trimmed.to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "1" | "on" => Typed::Bool(true),
                "false" | "f" | "no" | "n" | "0" | "off" | "none" => Typed::Bool(false),
                _ => return Err(wrong()),
            },
            Self::Text => Typed::Text(text.into()),
            Self::Integer(lo, hi) => {
                let number = trimmed.parse::<i64>().map_err(|_| wrong())?;
                if !(lo..=hi).contains(&number) {
                    return Err(wrong());
                }
                Typed::Integer(number)
            }
            Self::Duration => Typed::Integer(parse_duration_ms(trimmed).ok_or_else(wrong)?),
            Self::PositiveDuration => {
                Typed::Integer(parse_duration_ms(trimmed).filter(|&ms| ms > 0).ok_or_else(wrong)?)
            }
            Self::Bytes => Typed::Integer(parse_bytes(trimmed).ok_or_else(wrong)?),
            Self::List => {
                Typed::List(trimmed.split(',').map(str::trim).filter(|t| !t.is_empty()).map(Into::into).collect())
            }
            Self::Choice(words) => {
                let word = words.iter().find(|w| w.eq_ignore_ascii_case(trimmed)).ok_or_else(wrong)?;
                Typed::Text((*word).into())
            }
        })
    }
}

/// Splits `1.5GiB` into its number and its unit.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse::<f64>().ok()?;
    Some((number, text[end..].trim()))
}

fn parse_duration_ms(text: &str) -> Option<i64> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "ms" => 1.0,
        "" | "s" => 1e3,
        "m" | "min" => 60e3,
        "h" => 3600e3,
        _ => return None,
    };
    whole(number * factor)
}

fn parse_bytes(text: &str) -> Option<i64> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "" | "B" => 1.0,
        "kB" | "KB" | "k" => 1e3,
        "MB" | "M" => 1e6,
        "GB" | "G" => 1e9,
        "KiB" | "Ki" => 1024.0,
        "MiB" | "Mi" => 1024.0 * 1024.0,
        "GiB" | "Gi" => 1024.0 * 1024.0 * 1024.0,
        "TiB" | "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    whole(number * factor)
}

/// A limit far below 2⁶³, so that sums of configured values cannot overflow.
fn whole(value: f64) -> Option<i64> {
    (value.is_finite() && (0.0..1e15).contains(&value)).then_some(value.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_each_kind() {
        for (kind, text, expected) in [
            (Kind::Switch, "True", Some(Typed::Bool(true))),
            (Kind::Switch, "no", Some(Typed::Bool(false))),
            (Kind::Switch, "maybe", None),
            (Kind::Integer(1, 65535), "50051", Some(Typed::Integer(50051))),
            (Kind::Integer(1, 65535), "0", None),
            (Kind::Integer(1, 65535), "65536", None),
            (Kind::Integer(1, 65535), "abc", None),
            (Kind::Duration, "30", Some(Typed::Integer(30_000))),
            (Kind::Duration, "500ms", Some(Typed::Integer(500))),
            (Kind::Duration, "1.5m", Some(Typed::Integer(90_000))),
            (Kind::Duration, "0", Some(Typed::Integer(0))),
            (Kind::PositiveDuration, "0s", None),
            (Kind::PositiveDuration, "1ms", Some(Typed::Integer(1))),
            (Kind::Duration, "-1", None),
            (Kind::Duration, "1 week", None),
            (Kind::Bytes, "2GiB", Some(Typed::Integer(2 << 30))),
            (Kind::Bytes, "1.5MB", Some(Typed::Integer(1_500_000))),
            (Kind::Bytes, "1e99", None),
            (Kind::List, "a, b,,c", Some(Typed::List(vec!["a".into(), "b".into(), "c".into()]))),
            (Kind::Choice(&["text", "json"]), "JSON", Some(Typed::Text("json".into()))),
            (Kind::Choice(&["text", "json"]), "xml", None),
        ] {
            assert_eq!(kind.parse("--x", text).ok(), expected, "{kind:?} {text}");
        }
        let error = Kind::Integer(1, 65535).parse("--grpc_port", "0").unwrap_err();
        assert_eq!(error.to_string(), "--grpc_port=0 is not valid: it must be a whole number from 1 to 65535");
    }
}
