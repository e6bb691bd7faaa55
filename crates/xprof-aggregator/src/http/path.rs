//! Splits a request target: the path below the upstream prefix, and the query parameters.
//!
//! Takes what hyper parsed, gives decoded text. It knows no route.

use std::borrow::Cow;

use xprof_core::tools::Params;

/// Under this prefix TensorBoard serves the plugin, and the reference's pages and clients ask there.
pub const PREFIX: &str = "/data/plugin/profile";

/// A path on its way to the route table.
#[derive(Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The decoded path without the prefix and without one trailing slash.
    pub path: Cow<'a, str>,
    /// Whether the prefix was there.
    pub under_prefix: bool,
}

impl<'a> Target<'a> {
    /// Reads the path of a URI.
    pub fn new(raw: &'a str) -> Self {
        let mut path = decode(raw, false);
        let below = path.strip_prefix(PREFIX).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let under_prefix = below.is_some();
        if let Some(rest) = below {
            path = Cow::Owned(rest.to_owned());
        }
        if path.len() > 1 && path.ends_with('/') {
            let mut owned = path.into_owned();
            owned.pop();
            path = Cow::Owned(owned);
        }
        Self { path, under_prefix }
    }

    /// Whether the path is a page of the user interface: the root, a view of a run, or under the prefix without a file ending.
    pub fn is_page(&self) -> bool {
        // Runs may have a dot in their names. `roofline_model` is where the reference's overview links to.
        if ["/r/", "/roofline_model/"].iter().any(|root| self.path.starts_with(root)) {
            return true;
        }
        let last = self.path.rsplit('/').next().unwrap_or_default();
        self.path.is_empty() || self.path == "/" || (self.under_prefix && !last.contains('.'))
    }
}

/// The parameters of a query string. Where a name is repeated, the first value counts.
pub fn query(raw: Option<&str>) -> Params {
    let pairs = raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true).into_owned(), decode(value, true).into_owned())
        })
        .collect()
}

/// Percent-encodes a value so that it can stand in a query string.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ => {
                out.push('%');
                out.extend(char::from_digit(u32::from(byte >> 4), 16).map(|c| c.to_ascii_uppercase()));
                out.extend(char::from_digit(u32::from(byte & 15), 16).map(|c| c.to_ascii_uppercase()));
            }
        }
    }
    out
}

/// Undoes percent-encoding, and `+` for a blank in query strings. A damaged escape stays as it is.
fn decode(text: &str, plus_is_blank: bool) -> Cow<'_, str> {
    if !text.bytes().any(|b| b == b'%' || (plus_is_blank && b == b'+')) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = match tail {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escape {
            bytes.push(high << 4 | low);
            rest = &tail[2..];
        } else {
            bytes.push(if *first == b'+' && plus_is_blank { b' ' } else { *first });
            rest = tail;
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|d| d as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_paths_as_the_reference_does() {
        for (raw, path, under_prefix, page) in [
            ("/", "/", false, true),
            ("/data/plugin/profile", "", true, true),
            ("/data/plugin/profile/", "/", true, true),
            ("/data/plugin/profile/runs", "/runs", true, true),
            ("/data/plugin/profile/runs/", "/runs", true, true),
            ("/runs/", "/runs", false, false),
            ("/data", "/data", false, false),
            ("/overview_page", "/overview_page", false, false),
            ("/data/plugin/profile/overview_page", "/overview_page", true, true),
            ("/data/plugin/profilex/runs", "/data/plugin/profilex/runs", false, false),
            ("/data/plugin/profile//runs", "//runs", true, true),
            ("/data/plugin/profile/favicon.ico", "/favicon.ico", true, false),
            ("/r/run.1/timeline", "/r/run.1/timeline", false, true),
            ("/data/plugin/profile/r/run.1", "/r/run.1", true, true),
            ("/roofline_model/run", "/roofline_model/run", false, true),
            ("/runs/x", "/runs/x", false, false),
            ("/data%2Fplugin/profile/%72uns", "/runs", true, true),
        ] {
            let target = Target::new(raw);
            assert_eq!((&*target.path, target.under_prefix, target.is_page()), (path, under_prefix, page), "{raw}");
        }
    }

    #[test]
    fn reads_query_strings() {
        let params = query(Some("run=a%2Fb+c&tag=trace_viewer%40&run=second&flag&bad=%zz%4&=x&&u=%ff"));
        let pairs: Vec<_> = params.iter().collect();
        assert_eq!(
            pairs,
            [("", "x"), ("bad", "%zz%4"), ("flag", ""), ("run", "a/b c"), ("tag", "trace_viewer@"), ("u", "\u{fffd}")]
        );
        assert_eq!(encode("a/b c@é~"), "a%2Fb%20c%40%C3%A9~");
    }
}
