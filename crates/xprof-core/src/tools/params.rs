//! Raw request parameters and the typed reads that all tools share.

use std::collections::BTreeMap;

use crate::{Error, Result};

/// The parameters of one request by name. Where a name is repeated, the first value counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value as given, `None` if the parameter is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value, `None` if the parameter is absent or empty.
    pub fn non_empty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }

    /// True if and only if the value is `true` in any case (`parity:` `1` is false over HTTP).
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    /// A decimal number, `default` if the parameter is absent.
    pub fn f64(&self, name: &str, default: f64) -> Result<f64> {
        match self.get(name) {
            None => Ok(default),
            Some(text) => match text.trim().parse::<f64>() {
                Ok(v) if v.is_finite() => Ok(v),
                _ => Err(Error::invalid(name, text, "it must be a number, such as 12.5")),
            },
        }
    }

    /// Sets a parameter unless it is already there.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.entry(name.into()).or_insert_with(|| value.into());
    }

    /// The parameters among `names`, for map jobs.
    pub fn only(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(k, _)| names.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    /// Name and value, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Params {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(iter: T) -> Self {
        let mut params = Self::new();
        for (k, v) in iter {
            params.insert(k, v);
        }
        params
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_typed_values() {
        let p: Params =
            [("a", "1e2"), ("a", "7"), ("b", "TRUE"), ("c", "1"), ("d", "x"), ("e", "")].into_iter().collect();
        assert_eq!(p.f64("a", 0.0).ok(), Some(100.0));
        assert_eq!(p.f64("absent", 3.0).ok(), Some(3.0));
        assert!(p.f64("d", 0.0).is_err());
        assert!(p.is_true("b") && !p.is_true("c"));
        assert_eq!((p.get("e"), p.non_empty("e")), (Some(""), None));
        assert_eq!(p.only(&["b"]).iter().collect::<Vec<_>>(), [("b", "TRUE")]);
    }
}
