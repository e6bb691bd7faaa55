//! A name server that misbehaves on demand: the addresses of one name, given out well, late, emptily, or not at all.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Each answer comes four seconds late.
    Late,
    /// The name exists and has no addresses.
    Empty,
    /// SERVFAIL.
    Failing,
    /// Nothing comes back.
    Silent,
}

/// Clones are the same.
#[derive(Clone)]
pub struct NameServer {
    state: Arc<Mutex<State>>,
}

struct State {
    name: Name,
    addresses: Vec<IpAddr>,
    mood: Mood,
}

impl NameServer {
    /// Answers for one name on port 53 of an address of this machine, until the process ends.
    pub fn start(ip: IpAddr, name: &str) -> Result<Self> {
        let address = SocketAddr::new(ip, 53);
        let socket = UdpSocket::bind(address).with_context(|| format!("cannot serve names on {address}"))?;
        let name = Name::from_str(&format!("{name}."))?;
        let server = Self { state: Arc::new(Mutex::new(State { name, addresses: Vec::new(), mood: Mood::Well })) };
        let own = server.clone();
        std::thread::spawn(move || {
            let mut packet = [0; 1500];
            while let Ok((n, from)) = socket.recv_from(&mut packet) {
                let (Ok(query), Ok(socket)) = (Message::from_vec(&packet[..n]), socket.try_clone()) else { continue };
                let own = own.clone();
                // Each on its own, so that late answers do not delay each other.
                std::thread::spawn(move || own.answer(&query, &socket, from));
            }
        });
        Ok(server)
    }

    pub fn set(&self, mood: Mood) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).mood = mood;
    }

    pub fn serve(&self, addresses: Vec<IpAddr>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).addresses = addresses;
    }

    fn answer(&self, query: &Message, socket: &UdpSocket, from: SocketAddr) {
        let mood = self.state.lock().unwrap_or_else(PoisonError::into_inner).mood;
        match mood {
            Mood::Silent => return,
            Mood::Late => std::thread::sleep(Duration::from_secs(4)),
            Mood::Well | Mood::Empty | Mood::Failing => {}
        }
        let answer = self.state.lock().unwrap_or_else(PoisonError::into_inner).reply(query, mood);
        if let Ok(bytes) = answer.to_vec() {
            let _ = socket.send_to(&bytes, from);
        }
    }
}

impl State {
    fn reply(&self, query: &Message, mood: Mood) -> Message {
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.metadata.recursion_desired = query.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.add_queries(query.queries.clone());
        let Some(question) = query.queries.first() else { return answer };
        if mood == Mood::Failing {
            answer.metadata.response_code = ResponseCode::ServFail;
        } else if question.name != self.name {
            answer.metadata.response_code = ResponseCode::NXDomain;
        } else if mood != Mood::Empty && question.query_type == RecordType::A {
            for address in &self.addresses {
                if let IpAddr::V4(ip) = address {
                    answer.add_answer(Record::from_rdata(question.name.clone(), 5, RData::A(A(*ip))));
                }
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;

    use super::*;

    #[test]
    fn answers_as_its_mood_is() {
        let name = Name::from_str("w.svc.").unwrap();
        let state = State { name: name.clone(), addresses: vec!["10.0.0.1".parse().unwrap()], mood: Mood::Well };
        let reply = |name: &Name, mood| {
            let mut query = Message::query();
            query.add_query(Query::query(name.clone(), RecordType::A));
            let answer = state.reply(&query, mood);
            (answer.metadata.response_code, answer.answers.len())
        };
        assert_eq!(reply(&name, Mood::Well), (ResponseCode::NoError, 1));
        assert_eq!(reply(&name, Mood::Empty), (ResponseCode::NoError, 0));
        assert_eq!(reply(&name, Mood::Failing), (ResponseCode::ServFail, 0));
        assert_eq!(reply(&Name::from_str("x.svc.").unwrap(), Mood::Well), (ResponseCode::NXDomain, 0));
    }
}
