//! HTTP as the load generators speak it: a GET, and as much of its answer as it takes to know that it is whole.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The bytes of a request. An empty encoding sends no such header.
pub fn request(path: &str, encoding: &str) -> Vec<u8> {
    let accept = if encoding.is_empty() { String::new() } else { format!("accept-encoding: {encoding}\r\n") };
    format!("GET {path} HTTP/1.1\r\nhost: load\r\n{accept}\r\n").into_bytes()
}

/// One answer over a connection of its own.
pub fn get(server: SocketAddr, request: &[u8]) -> Result<(u16, Vec<u8>)> {
    let mut stream = std::net::TcpStream::connect(server).with_context(|| format!("no server at {server}"))?;
    stream.write_all(request)?;
    let mut buffer = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        if let Some(answer) = parse(&buffer)? {
            return Ok((answer.status, answer.body(&buffer)));
        }
        let n = stream.read(&mut chunk)?;
        ensure!(n > 0, "the connection was closed before the answer was whole");
        buffer.extend_from_slice(&chunk[..n]);
    }
}

/// One request and its answer, which is left in the buffer.
pub async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> Result<Answer> {
    stream.write_all(request).await?;
    buffer.clear();
    loop {
        ensure!(stream.read_buf(buffer).await? > 0, "closed before the answer was whole");
        if let Some(answer) = parse(buffer)? {
            return Ok(answer);
        }
    }
}

/// A whole answer in a buffer.
pub struct Answer {
    pub status: u16,
    pub head: usize,
    pub end: usize,
    pub is_chunked: bool,
}

impl Answer {
    /// The body, out of the buffer in which the answer lies.
    pub fn body(&self, buffer: &[u8]) -> Vec<u8> {
        let body = &buffer[self.head..self.end];
        if self.is_chunked { unchunk(body) } else { body.to_vec() }
    }
}

/// Nothing as long as the answer is not whole.
fn parse(buffer: &[u8]) -> Result<Option<Answer>> {
    let Some(head) = buffer.windows(4).position(|w| w == b"\r\n\r\n").map(|p| p + 4) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&buffer[..head]).context("the head is no text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|l| l.split(' ').nth(1)?.parse().ok()).context("no status")?;
    let mut length = None;
    let mut is_chunked = false;
    for (name, value) in lines.filter_map(|l| l.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok();
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            is_chunked = value.trim().eq_ignore_ascii_case("chunked");
        }
    }
    let end = match length {
        Some(length) => head + length,
        None if is_chunked && buffer.ends_with(b"\r\n0\r\n\r\n") => buffer.len(),
        None if is_chunked => return Ok(None),
        None => bail!("the answer tells no length"),
    };
    Ok((buffer.len() >= end).then_some(Answer { status, head, end, is_chunked }))
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(line) = body.windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&body[..line]).ok().and_then(|t| usize::from_str_radix(t.trim(), 16).ok());
        match size {
            Some(size) if size > 0 && body.len() >= line + 4 + size => {
                out.extend_from_slice(&body[line + 2..line + 2 + size]);
                body = &body[line + 4 + size..];
            }
            _ => break,
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_when_an_answer_is_whole() {
        let whole = |text: &str| parse(text.as_bytes()).unwrap().map(|a| (a.status, a.end - a.head));
        assert_eq!(whole("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"), None);
        assert_eq!(whole("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), Some((200, 3)));
        assert_eq!(whole("HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n"), None);
        let chunked = "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        assert_eq!(whole(chunked), Some((404, 12)));
        assert_eq!(unchunk(b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"), b"abcde");
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
