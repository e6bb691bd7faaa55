//! The addresses of names: one question to the DNS servers, and the loop that asks it all the time.
//!
//! Takes a name, gives its addresses whenever they are known anew. It opens no connection to a worker.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use super::resolve::DnsName;

/// A name server is asked again after this time at the earliest, whatever happened.
pub const LEAST_REFRESH: Duration = Duration::from_millis(500);

/// A time to live below this is taken for this: zero means "do not cache", not "ask without pause".
const LEAST_TTL: Duration = Duration::from_secs(1);

/// A lookup that takes longer has failed; the resolver's own attempts are over before.
const LONGEST_LOOKUP: Duration = Duration::from_secs(15);

/// What a name server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The addresses.
    pub ips: Vec<IpAddr>,
    /// How long they may be believed.
    pub ttl: Duration,
}

/// The addresses of a name, or why there are none.
pub type Lookup = Arc<dyn Fn(DnsName) -> BoxFuture<'static, Result<Found, String>> + Send + Sync>;

/// Asks the DNS servers, each time anew.
///
/// Answers are not kept: the servers of container networks give out times to live of minutes for addresses that live for
/// seconds, and a name is asked for every few seconds only.
pub fn system_lookup() -> Lookup {
    Arc::new(|name| {
        async move {
            // The system's configuration may change too, and reading it costs less than the question.
            let resolver = match resolver(name.server) {
                Ok(resolver) => resolver,
                Err(error) => {
                    // A container may have no resolv.conf at all; the C library then still knows its hosts file.
                    tracing::debug!(error, "dns configuration cannot be read, the system library is asked");
                    let found = tokio::net::lookup_host((name.host, 0)).await.map_err(|e| e.to_string())?;
                    return Ok(Found { ips: found.map(|a| a.ip()).collect(), ttl: Duration::MAX });
                }
            };
            let found = resolver.lookup_ip(name.host).await.map_err(|e| e.to_string())?;
            let ttl = found.valid_until().saturating_duration_since(Instant::now());
            Ok(Found { ips: found.iter().collect(), ttl })
        }
        .boxed()
    })
}

fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, String> {
    let system = TokioResolver::builder_tokio();
    let mut builder = match server {
        None => system.map_err(|e| e.to_string())?,
        Some(server) => {
            let [mut udp, mut tcp] = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            (udp.port, tcp.port) = (server.port(), server.port());
            let servers = vec![NameServerConfig::new(server.ip(), true, vec![udp, tcp])];
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    builder.options_mut().cache_size = 0;
    builder.build().map_err(|e| e.to_string())
}

/// One question, answered or given up in bounded time. No address at all is an error: see [`pause`].
pub async fn ask(lookup: &Lookup, name: &DnsName) -> Result<Found, String> {
    match tokio::time::timeout(LONGEST_LOOKUP, lookup(name.clone())).await {
        Ok(Ok(found)) if found.ips.is_empty() => Err("no addresses".into()),
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {LONGEST_LOOKUP:?}")),
    }
}

/// How long to wait before a name is asked for again: `refresh`, or less if the answer is not valid for so long.
///
/// A name without any address is asked for often: workers and aggregator usually start together. A failure changes nothing:
/// a DNS server that is down must not take the workers away, and those that are gone are passed over anyway.
pub fn pause(found: &Result<Found, String>, knows_any: bool, refresh: Duration) -> Duration {
    match found {
        Ok(found) => refresh.min(found.ttl.max(LEAST_TTL)),
        Err(_) if knows_any => refresh,
        Err(_) => LEAST_REFRESH,
    }
    .max(LEAST_REFRESH)
}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

    use super::*;

    fn name(server: Option<SocketAddr>) -> DnsName {
        DnsName { host: "workers.test.".into(), server }
    }

    /// The answer of a DNS server to one question, with these addresses and this time to live.
    fn answer(query: &[u8], ips: &[[u8; 4]], ttl_s: u32) -> Vec<u8> {
        // header(12), question: labels, zero, type, class
        let end = 12 + query[12..].iter().position(|b| *b == 0).unwrap() + 5;
        let is_a = query[end - 4..end - 2] == [0, 1];
        let ips = if is_a { ips } else { &[] };
        let mut out = query[..end].to_vec();
        out[2..12].copy_from_slice(&[0x85, 0x80, 0, 1, 0, ips.len() as u8, 0, 0, 0, 0]);
        for ip in ips {
            out.extend([0xc0, 12, 0, 1, 0, 1]);
            out.extend(ttl_s.to_be_bytes());
            out.extend([0, 4]);
            out.extend(ip);
        }
        out
    }

    #[tokio::test]
    async fn asks_the_named_server() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap();
        let serving = async {
            let mut query = [0; 512];
            loop {
                let (n, client) = socket.recv_from(&mut query).await.unwrap();
                let reply = answer(&query[..n], &[[10, 0, 0, 1], [10, 0, 0, 2]], 7);
                socket.send_to(&reply, client).await.unwrap();
            }
        };
        let (lookup, name) = (system_lookup(), name(Some(server)));
        let found = tokio::select! {
            found = ask(&lookup, &name) => found.unwrap(),
            () = serving => unreachable!("it serves for ever"),
        };
        let mut ips: Vec<_> = found.ips.iter().map(ToString::to_string).collect();
        ips.sort_unstable();
        assert_eq!(ips, ["10.0.0.1", "10.0.0.2"]);
        assert!(found.ttl <= Duration::from_secs(7), "{:?}", found.ttl);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_server_is_a_failed_one() {
        let late: Lookup = Arc::new(|_| std::future::pending().boxed());
        assert_eq!(ask(&late, &name(None)).await.unwrap_err(), "no answer within 15s");
        let empty: Lookup = Arc::new(|_| async { Ok(Found { ips: vec![], ttl: Duration::MAX }) }.boxed());
        assert_eq!(ask(&empty, &name(None)).await.unwrap_err(), "no addresses");
    }

    #[test]
    fn answers_are_believed_no_longer_than_they_live() {
        let found = |ttl| Ok(Found { ips: vec![[10, 0, 0, 1].into()], ttl });
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        for (found, knows_any, refresh, expected) in [
            (found(s(600)), true, s(3), s(3)),
            (found(s(2)), true, s(3), s(2)),
            (found(s(0)), true, s(3), s(1)),
            (found(s(600)), true, ms(1), LEAST_REFRESH),
            (Err(String::new()), true, s(3), s(3)),
            (Err(String::new()), false, s(3), LEAST_REFRESH),
        ] {
            assert_eq!(pause(&found, knows_any, refresh), expected, "{found:?}");
        }
    }
}
