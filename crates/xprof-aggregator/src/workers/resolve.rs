//! Worker targets: how they are written on the command line, and the addresses behind them now.
//!
//! Takes the text of `--worker_service_address`, gives targets and their addresses. It opens no connection to a worker.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;

/// One entry of the list of workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An address that does not change.
    Fixed(SocketAddr),
    /// A name with any number of addresses, which come and go.
    Name {
        /// The DNS name.
        host: String,
        /// The workers' gRPC port.
        port: u16,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(address) => write!(f, "{address}"),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Reads a comma list of targets. Empty entries are skipped, as the reference does.
///
/// ```text
/// dns:///workers.default.svc.cluster.local:8891    every address of the name
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
    let rest = match entry.split_once("://") {
        // `dns://server/name:port` names a DNS server, which is left to the system's configuration.
        Some(("dns", rest)) => match rest.split_once('/') {
            Some(("", name)) => name,
            Some(_) => {
                return Err(wrong("a DNS server in the address is not supported, write dns:///NAME:PORT"));
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
    Ok(Target::Name { host: host.to_owned(), port })
}

/// The addresses of a name, or why there are none.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> + Send + Sync>;

/// Asks the DNS servers of the system, each time anew.
///
/// Answers are not kept: the servers of container networks give out times to live of minutes for addresses that live for
/// seconds, and a name is asked for every few seconds only.
pub fn system_lookup() -> Lookup {
    let resolver = TokioResolver::builder_tokio().and_then(|mut builder| {
        builder.options_mut().cache_size = 0;
        builder.build()
    });
    match resolver {
        Ok(resolver) => Arc::new(move |host| {
            let resolver = resolver.clone();
            async move {
                let found = resolver.lookup_ip(host).await.map_err(|e| e.to_string())?;
                Ok(found.iter().collect())
            }
            .boxed()
        }),
        Err(error) => {
            // A container may have no resolv.conf at all; the C library then still knows its hosts file.
            tracing::warn!(%error, "dns configuration cannot be read, names are looked up by the system library");
            Arc::new(|host| {
                async move {
                    let found = tokio::net::lookup_host((host, 0)).await.map_err(|e| e.to_string())?;
                    Ok(found.map(|a| a.ip()).collect())
                }
                .boxed()
            })
        }
    }
}

/// The addresses of all targets now: sorted, each once. A name that cannot be resolved keeps the addresses `before`.
pub async fn addresses(targets: &[Target], lookup: &Lookup, before: &[SocketAddr]) -> Vec<SocketAddr> {
    let found = futures::future::join_all(targets.iter().map(|target| async move {
        match target {
            Target::Fixed(address) => vec![*address],
            Target::Name { host, port } => match lookup(host.clone()).await {
                Ok(ips) if !ips.is_empty() => ips.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect(),
                // A DNS server that is down must not take the workers away; those that are gone are passed over anyway.
                result => {
                    let error = result.err().unwrap_or_else(|| "no addresses".into());
                    tracing::debug!(%target, error, "worker name cannot be resolved");
                    before.iter().filter(|a| a.port() == *port).copied().collect()
                }
            },
        }
    }))
    .await;
    found.into_iter().flatten().collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_targets() {
        let name = |host: &str, port| Target::Name { host: host.into(), port };
        let fixed = |text: &str| Target::Fixed(text.parse().unwrap());
        for (text, expected) in [
            ("", vec![]),
            ("a:1,,b:2,", vec![name("a", 1), name("b", 2)]),
            ("dns:///w.default.svc.cluster.local:8891", vec![name("w.default.svc.cluster.local", 8891)]),
            ("dns:w:8891", vec![name("w", 8891)]),
            ("ipv4:10.0.0.1:5", vec![fixed("10.0.0.1:5")]),
            ("0.0.0.0:50051", vec![fixed("0.0.0.0:50051")]),
            ("ipv6:[::1]:5, [::2]:6", vec![fixed("[::1]:5"), fixed("[::2]:6")]),
            ("http://w:1/", vec![name("w", 1)]),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        for text in
            ["w", "w:", "w:0", "w:99999", ":1", "xds:///w:1", "https://w:1", "dns://8.8.8.8/w:1", "a b:1", "1.2.3.4:0"]
        {
            assert!(parse(text).unwrap_err().contains("is not a worker address"), "{text}");
        }
    }

    #[tokio::test]
    async fn keeps_addresses_when_the_name_server_fails() {
        let lookup: Lookup = Arc::new(|host| {
            async move {
                match host.as_str() {
                    "up" => Ok(vec!["10.0.0.2".parse().unwrap(), "10.0.0.1".parse().unwrap()]),
                    _ => Err("server failure".into()),
                }
            }
            .boxed()
        });
        let targets = parse("up:1,down:2,10.0.0.1:1").unwrap();
        let before: Vec<SocketAddr> = vec!["10.9.9.9:2".parse().unwrap(), "10.9.9.9:1".parse().unwrap()];
        let now = addresses(&targets, &lookup, &before).await;
        let texts: Vec<_> = now.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.1:1", "10.0.0.2:1", "10.9.9.9:2"]);
    }
}
