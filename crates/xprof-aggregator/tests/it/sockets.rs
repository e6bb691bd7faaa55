//! Real connections: keep-alive, HTTP/2 without TLS, draining.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use xprof_aggregator::serve;
use xprof_service::shutdown::{Drained, Shutdown};

use crate::support::{EMPTY, Server};

/// Reads one response with a content length.
async fn response(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let n = stream.read(&mut chunk).await.unwrap();
        text.extend_from_slice(&chunk[..n]);
        let all = String::from_utf8_lossy(&text);
        let length = all.lines().find_map(|l| l.strip_prefix("content-length: ")).and_then(|l| l.parse::<usize>().ok());
        if let (Some(head), Some(length)) = (all.find("\r\n\r\n"), length)
            && all.len() >= head + 4 + length
        {
            return all.into_owned();
        }
        assert!(n > 0, "closed after {all}");
    }
}

#[tokio::test]
async fn connections_live_until_draining() {
    let server = Server::new(&[("plugins/profile/r/a.xplane.pb", EMPTY)], &[]);
    let shutdown = Shutdown::manual(Duration::from_secs(30));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(serve(listener, server.app.service.clone(), shutdown.clone()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let text = response(&mut stream).await;
        assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("2.24.2"), "{text}");
    }
    stream.write_all(b"HEAD /version HTTP/1.1\r\nhost: x\r\n\r\nGET /runs HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut text = response(&mut stream).await;
    while !text.contains("[\"r\"]") {
        text.push_str(&response(&mut stream).await);
    }
    assert!(!text.contains("2.24.2"), "a response to HEAD has no body: {text}");
    shutdown.begin();
    let drained = tokio::time::timeout(Duration::from_secs(60), serving).await.unwrap().unwrap();
    assert_eq!(drained, Drained::Clean, "an idle connection does not hold the server");
    assert!(TcpStream::connect(address).await.is_err());
}
