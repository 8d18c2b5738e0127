//! The desk where requests come in: who is being served, whose request replaces another, and what became of each.
//!
//! One listener owns it, so that there is no lock; each request is a task of its own, so that nobody waits for another's
//! disk, claim or slowness.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::claims::{Claimer, Claims};
use super::counters::TftpCounters;
use super::files::{self, Found};
use super::options::Terms;
use super::session::{Between, Session};
use super::socket::{self, Line};
use super::source::{Body, Source, Unavailable};
use super::transfer::Ending;
use super::wire::{self, Mode, Packet, Request, code};
use crate::serve::Context;
use crate::serve::trace::Service;

/// Transfers at once; a machine that is refused asks again.
pub const TRANSFERS: usize = 1024;

/// Who speaks, and to which of our addresses: a client's port is its end of a transfer.
type Pair = (SocketAddrV4, Ipv4Addr);

/// Those being served.
pub struct Desk {
    ctx: Context,
    counters: Arc<TftpCounters>,
    claims: Arc<Claims>,
    tasks: JoinSet<Outcome>,
    pairs: HashMap<Pair, Running>,
    running: HashMap<Id, (Pair, String)>,
}

/// A request being answered.
struct Running {
    task: AbortHandle,
    packet: Vec<u8>,
    between: Arc<Between>,
}

/// What became of a request: the counter, and what the trace says.
type Outcome = (&'static str, &'static str, String);

impl Desk {
    /// Nobody is served yet.
    pub fn new(ctx: Context, counters: Arc<TftpCounters>) -> Desk {
        let (claims, tasks) = (Arc::default(), JoinSet::new());
        Desk { ctx, counters, claims, tasks, pairs: HashMap::new(), running: HashMap::new() }
    }

    /// A packet has come to the port of requests.
    pub fn packet(&mut self, packet: &[u8], client: SocketAddrV4, asked: Option<Ipv4Addr>) {
        // A broadcast is not answered (RFC 1123 section 4.2.3.5), and nothing that is no request: the sender of an answer
        // to garbage can be made to shout at anybody.
        let Some(asked) = asked else { return self.counters.count("other", "broadcast") };
        match Packet::parse(packet) {
            Ok(Packet::Read(request)) => self.read(packet, &request, (client, asked)),
            Ok(Packet::Write(request)) => {
                self.counters.count("write", "refused");
                self.note(client, &format!("write {}", wire::shown(request.name)), "refused: this server is read only");
                socket::refuse(asked, client, code::DENIED, "this server is read only");
            }
            Ok(_) => self.counters.count("other", "stray"),
            Err(wire::Malformed) => self.counters.count("other", "malformed"),
        }
    }

    fn read(&mut self, packet: &[u8], request: &Request, pair: Pair) {
        let (client, asked) = pair;
        let refuse = |outcome, code, message: &str| {
            self.counters.count("read", outcome);
            self.note(client, &described(request), &format!("refused: {message}"));
            socket::refuse(asked, client, code, message);
        };
        if request.mode != Mode::Octet {
            return refuse("refused", code::ILLEGAL, "only octet (binary) transfers are served");
        }
        if let Some(earlier) = self.pairs.get(&pair) {
            if earlier.packet == packet && !earlier.between.heard.load(Ordering::Relaxed) && !earlier.task.is_finished()
            {
                self.counters.count("read", "repeated");
                return earlier.between.again.notify_one();
            }
            // A port has one transfer: whoever asks anew has given the old one up.
            earlier.task.abort();
        }
        if self.running.len() >= TRANSFERS {
            return refuse("busy", code::OTHER, "too many transfers; try again");
        }
        let between = Arc::new(Between::default());
        let answer = Answer {
            ctx: self.ctx.clone(),
            counters: self.counters.clone(),
            claims: self.claims.clone(),
            pair,
            packet: packet.to_vec(),
            between: between.clone(),
        };
        let task = self.tasks.spawn(answer.give());
        self.running.insert(task.id(), (pair, described(request)));
        self.pairs.insert(pair, Running { task, packet: packet.to_vec(), between });
    }

    /// Waits for a request to have been answered, and accounts for it; for ever while there is none.
    pub async fn ended(&mut self) {
        let Some(ended) = self.tasks.join_next_with_id().await else { return std::future::pending().await };
        let (id, (kind, word, text)) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => (error.id(), unfinished(&error)),
        };
        let Some((pair, asked)) = self.running.remove(&id) else { return };
        if self.pairs.get(&pair).is_some_and(|running| running.task.id() == id) {
            self.pairs.remove(&pair);
        }
        self.counters.count(kind, word);
        if kind == "transfer" && word != "completed" || word == "refused" {
            tracing::info!(client = %pair.0, asked, outcome = text, "TFTP");
        } else {
            tracing::debug!(client = %pair.0, asked, outcome = text, "TFTP");
        }
        self.note(pair.0, &asked, &text);
    }

    fn note(&self, client: SocketAddrV4, asked: &str, outcome: &str) {
        self.ctx.note_at((*client.ip()).into(), Service::Tftp, asked, outcome);
    }
}

fn unfinished(error: &JoinError) -> Outcome {
    if error.is_cancelled() {
        return ("transfer", "replaced", "given up for a new request from the same port".into());
    }
    tracing::error!(%error, "a TFTP transfer failed");
    ("transfer", "failed", "failed: a mistake in the server".into())
}

/// What is asked, for the trace: the name as far as it can be shown, and the options.
fn described(request: &Request) -> String {
    let mut text = wire::shown(request.name);
    for (name, value) in &request.options {
        text.extend([" ", &wire::shown(name.as_bytes()), "=", &wire::shown(value.as_bytes())]);
    }
    text
}

/// The answer to one request.
struct Answer {
    ctx: Context,
    counters: Arc<TftpCounters>,
    claims: Arc<Claims>,
    pair: Pair,
    packet: Vec<u8>,
    between: Arc<Between>,
}

impl Answer {
    async fn give(self) -> Outcome {
        let Ok(Packet::Read(request)) = Packet::parse(&self.packet) else {
            return ("other", "malformed", "refused: not a request".into());
        };
        let (client, asked) = self.pair;
        let refuse = |outcome, code, message: &str| {
            socket::refuse(asked, client, code, message);
            ("read", outcome, format!("refused: {message}"))
        };
        // Names that are not UTF-8 are none of ours.
        let name = str::from_utf8(request.name).unwrap_or_default();
        let found = files::find(&self.ctx, name, client.into()).await;
        let kind = found.outcome();
        let body = match found {
            Found::Text(body) | Found::Own(body) => Body::Bytes(body.into()),
            Found::Keys(body) => Body::Bytes(body),
            Found::Static(file) => Body::Held(file),
            Found::Claim { mac, body } => {
                let (ctx, claims, counters) = (self.ctx.clone(), self.claims.clone(), self.counters.clone());
                Body::Claim(Claimer { ctx, claims, counters, mac, client: SocketAddr::V4(client), body })
            }
            Found::Missing => return refuse(kind, code::NOT_FOUND, "no such file"),
            Found::Refused(why) => return refuse(kind, code::DENIED, &why),
        };
        let line = match Line::open(asked, client) {
            Ok(line) => line,
            Err(error) => {
                tracing::warn!(%client, %error, "no socket for a TFTP transfer");
                return refuse("busy", code::OTHER, "no socket for the transfer; try again");
            }
        };
        self.counters.count("read", kind);
        self.transfer(&request, line, Source::new(body)).await
    }

    async fn transfer(&self, request: &Request<'_>, line: Line, source: Source) -> Outcome {
        let terms = Terms::new(request, source.length(), line.mtu());
        let Terms { length, block, window, .. } = terms;
        let begins = format!("sending {length} octets in blocks of {block}, {window} at once");
        self.ctx.note_at((*self.pair.0.ip()).into(), Service::Tftp, &described(request), &begins);
        let ending = Session::new(line, &terms, source).run(&self.between).await;
        let (word, text) = match ending {
            Ok(Ending::Completed) => ("completed", format!("sent {length} octets")),
            Ok(Ending::Unconfirmed) => {
                ("unconfirmed", format!("sent {length} octets; the last acknowledgement never came"))
            }
            Ok(Ending::Aborted { code, message }) => {
                ("aborted", format!("aborted by the client: {message} (code {code})"))
            }
            Ok(Ending::Closed { after }) => ("aborted", format!("the client closed its port after block {after}")),
            Ok(Ending::TimedOut { after }) => ("timed-out", format!("timed out after block {after}")),
            Err(Unavailable { message, .. }) => ("failed", format!("failed: {message}")),
        };
        ("transfer", word, text)
    }
}
