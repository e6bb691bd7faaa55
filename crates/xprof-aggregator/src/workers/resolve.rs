//! Worker targets: how they are written on the command line.
//!
//! Takes the text of `--worker_service_address`, gives targets. It asks nobody: [`super::lookup`] does.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The port of DNS servers.
const DNS_PORT: u16 = 53;

/// One entry of the list of workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An address that does not change.
    Fixed(SocketAddr),
    /// A name with any number of addresses, which come and go.
    Name {
        /// The name.
        name: DnsName,
        /// The workers' gRPC port.
        port: u16,
    },
}

/// A name and who knows its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsName {
    /// The name.
    pub host: String,
    /// The DNS server; none for those of the system.
    pub server: Option<SocketAddr>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(address) => write!(f, "{address}"),
            Self::Name { name: DnsName { host, server: None }, port } => write!(f, "{host}:{port}"),
            Self::Name { name: DnsName { host, server: Some(server) }, port } => {
                write!(f, "dns://{server}/{host}:{port}")
            }
        }
    }
}

/// Reads a comma list of targets. Empty entries are skipped, as the reference does.
///
/// ```text
/// dns:///workers.default.svc.cluster.local:8891    every address of the name
/// dns://10.0.0.10/workers:8891                     the same, asked of that DNS server
/// worker-1:50051,worker-2:50051                    the same for two names
/// 10.0.0.7:50051   ipv4:10.0.0.7:50051   [::1]:50051   ipv6:[::1]:50051
/// ```
pub fn parse(list: &str) -> Result<Vec<Target>, String> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(parse_one).collect()
}

fn parse_one(entry: &str) -> Result<Target, String> {
    let wrong = |why: &str| {
        format!(
            "{entry:?} is not a worker address: {why}; examples are worker-1:50051 and dns:///workers.default.svc:8891"
        )
    };
    let mut server = None;
    let rest = match entry.split_once("://") {
        Some(("dns", rest)) => match rest.split_once('/') {
            Some(("", name)) => name,
            Some((text, name)) => {
                let why = "the DNS server must be an IP address, with a port or without";
                server = Some(dns_server(text).ok_or_else(|| wrong(why))?);
                name
            }
            None => rest,
        },
        Some(("http" | "grpc", rest)) => rest.trim_end_matches('/'),
        Some(("https" | "grpcs", _)) => return Err(wrong("workers are reached without TLS")),
        Some((scheme, _)) => return Err(wrong(&format!("the scheme {scheme} is not known"))),
        None => ["dns:", "ipv4:", "ipv6:"].iter().find_map(|s| entry.strip_prefix(s)).unwrap_or(entry),
    };
    if let Ok(address) = rest.parse::<SocketAddr>() {
        return if address.port() == 0 { Err(wrong("port 0 cannot be reached")) } else { Ok(Target::Fixed(address)) };
    }
    let (host, port) = rest.rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?;
    let port = port.parse::<u16>().ok().filter(|p| *p > 0).ok_or_else(|| wrong("the port must be from 1 to 65535"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if host.is_empty() || !host.chars().all(plain) {
        return Err(wrong("the host name is missing or holds other characters than letters, digits, - _ and ."));
    }
    Ok(Target::Name { name: DnsName { host: host.to_owned(), server }, port })
}

/// `10.0.0.10`, `10.0.0.10:5353`, `[::1]:53`, `::1`
fn dns_server(text: &str) -> Option<SocketAddr> {
    let plain = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    text.parse().ok().or_else(|| plain(text).map(|ip| SocketAddr::new(ip, DNS_PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_targets() {
        let at = |host: &str, port, server: Option<&str>| {
            let name = DnsName { host: host.into(), server: server.map(|s| s.parse().unwrap()) };
            Target::Name { name, port }
        };
        let name = |host: &str, port| at(host, port, None);
        let fixed = |text: &str| Target::Fixed(text.parse().unwrap());
        for (text, expected) in [
            ("", vec![]),
            ("a:1,,b:2,", vec![name("a", 1), name("b", 2)]),
            ("dns:///w.default.svc.cluster.local:8891", vec![name("w.default.svc.cluster.local", 8891)]),
            ("dns:w:8891", vec![name("w", 8891)]),
            ("dns://8.8.8.8/w:1", vec![at("w", 1, Some("8.8.8.8:53"))]),
            ("dns://8.8.8.8:5353/w:1", vec![at("w", 1, Some("8.8.8.8:5353"))]),
            (
                "dns://[::1]:5353/w:1,dns://[::1]/w:2",
                vec![at("w", 1, Some("[::1]:5353")), at("w", 2, Some("[::1]:53"))],
            ),
            ("ipv4:10.0.0.1:5", vec![fixed("10.0.0.1:5")]),
            ("0.0.0.0:50051", vec![fixed("0.0.0.0:50051")]),
            ("ipv6:[::1]:5, [::2]:6", vec![fixed("[::1]:5"), fixed("[::2]:6")]),
            ("http://w:1/", vec![name("w", 1)]),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        for text in
            ["w", "w:", "w:0", "w:99999", ":1", "xds:///w:1", "https://w:1", "dns://ns.local/w:1", "a b:1", "1.2.3.4:0"]
        {
            assert!(parse(text).unwrap_err().contains("is not a worker address"), "{text}");
        }
        for text in ["w:1", "10.0.0.1:5", "dns://8.8.8.8:53/w:1"] {
            assert_eq!(parse(text).unwrap()[0].to_string(), text);
        }
    }
}
