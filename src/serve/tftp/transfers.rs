//! The transfers under way: who is being served, whose request replaces another, and what became of each.
//!
//! One listener owns them, so that there is no lock; each request is a task of its own, so that nobody waits for another's
//! disk, claim or slowness.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::claims::{Claimer, Claims};
use super::files::{self, Found};
use super::options::Terms;
use super::sender::{Sender, Shared};
use super::socket::{self, TransferSocket};
use super::source::{Body, Source, Unavailable};
use super::transfer::Ending;
use super::wire::{self, Mode, Packet, Request, code};
use crate::serve::Context;
use crate::serve::counters::Counters;
use crate::serve::trace::{Exchange, TftpAsked, TftpOutcome};

/// Transfers at once; a machine that is refused asks again.
pub const TRANSFERS: usize = 1024;

/// Who speaks, and to which of our addresses: a client's port is its end of a transfer.
type Pair = (SocketAddrV4, Ipv4Addr);

/// Those being served.
pub struct Transfers {
    ctx: Context,
    counters: Counters,
    claims: Arc<Claims>,
    tasks: JoinSet<Ended>,
    pairs: HashMap<Pair, Running>,
    running: HashMap<Id, (Pair, TftpAsked)>,
}

struct Running {
    task: AbortHandle,
    packet: Vec<u8>,
    shared: Arc<Shared>,
}

/// What became of a request: the counter, and what the trace keeps.
type Ended = ((&'static str, &'static str), TftpOutcome);

impl Transfers {
    /// Nobody is served yet.
    pub fn new(ctx: Context, counters: Counters) -> Transfers {
        let (claims, tasks) = (Arc::default(), JoinSet::new());
        Transfers { ctx, counters, claims, tasks, pairs: HashMap::new(), running: HashMap::new() }
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
                let why = "this server is read only";
                let asked_for = TftpAsked { write: true, ..described(&request) };
                note(&self.ctx, client, asked_for, TftpOutcome::Refused { why: why.into() });
                socket::refuse(asked, client, code::DENIED, why);
            }
            Ok(_) => self.counters.count("other", "stray"),
            Err(wire::Malformed) => self.counters.count("other", "malformed"),
        }
    }

    fn read(&mut self, packet: &[u8], request: &Request, pair: Pair) {
        let (client, asked) = pair;
        let refuse = |outcome, code, message: &str| {
            self.counters.count("read", outcome);
            note(&self.ctx, client, described(request), TftpOutcome::Refused { why: message.into() });
            socket::refuse(asked, client, code, message);
        };
        if request.mode != Mode::Octet {
            return refuse("refused", code::ILLEGAL, "only octet (binary) transfers are served");
        }
        if let Some(earlier) = self.pairs.get(&pair) {
            if earlier.packet == packet && !earlier.shared.heard.load(Ordering::Relaxed) && !earlier.task.is_finished()
            {
                self.counters.count("read", "repeated");
                return earlier.shared.again.notify_one();
            }
            // A port has one transfer: whoever asks anew has given the old one up.
            earlier.task.abort();
        }
        if self.running.len() >= TRANSFERS {
            return refuse("busy", code::OTHER, "too many transfers; try again");
        }
        let shared = Arc::new(Shared::default());
        let job = Job {
            ctx: self.ctx.clone(),
            counters: self.counters.clone(),
            claims: self.claims.clone(),
            pair,
            packet: packet.to_vec(),
            shared: shared.clone(),
        };
        let task = self.tasks.spawn(job.run());
        self.running.insert(task.id(), (pair, described(request)));
        self.pairs.insert(pair, Running { task, packet: packet.to_vec(), shared });
    }

    /// Waits for a request to have been answered, and accounts for it; for ever while there is none.
    pub async fn ended(&mut self) {
        let Some(ended) = self.tasks.join_next_with_id().await else { return std::future::pending().await };
        let (id, ((kind, word), outcome)) = match ended {
            Ok((id, ended)) => (id, ended),
            Err(error) => (error.id(), unfinished(&error)),
        };
        let Some((pair, asked)) = self.running.remove(&id) else { return };
        if self.pairs.get(&pair).is_some_and(|running| running.task.id() == id) {
            self.pairs.remove(&pair);
        }
        self.counters.count(kind, word);
        if kind == "transfer" && word != "completed" || word == "refused" {
            tracing::info!(client = %pair.0, %asked, %outcome, "TFTP");
        } else {
            tracing::debug!(client = %pair.0, %asked, %outcome, "TFTP");
        }
        note(&self.ctx, pair.0, asked, outcome);
    }
}

fn note(ctx: &Context, client: SocketAddrV4, asked: TftpAsked, outcome: TftpOutcome) {
    ctx.note_at((*client.ip()).into(), || Exchange::Tftp { asked, outcome });
}

fn unfinished(error: &JoinError) -> Ended {
    if error.is_cancelled() {
        return (("transfer", "replaced"), TftpOutcome::Replaced);
    }
    tracing::error!(%error, "a TFTP transfer failed");
    (("transfer", "failed"), TftpOutcome::Failed { why: "a mistake in the server".into() })
}

/// What is asked, for the trace: the name as far as it can be shown, and the options.
fn described(request: &Request) -> TftpAsked {
    let options = request.options.iter().map(|(name, value)| format!("{name}={value}"));
    let options = options.collect::<Vec<_>>().join(" ");
    TftpAsked { name: wire::shown(request.name).into(), options: wire::shown(options.as_bytes()).into(), write: false }
}

struct Job {
    ctx: Context,
    counters: Counters,
    claims: Arc<Claims>,
    pair: Pair,
    packet: Vec<u8>,
    shared: Arc<Shared>,
}

impl Job {
    async fn run(self) -> Ended {
        let (client, asked) = self.pair;
        let refuse = |outcome, code, message: &str| {
            socket::refuse(asked, client, code, message);
            (("read", outcome), TftpOutcome::Refused { why: message.into() })
        };
        let Ok(Packet::Read(request)) = Packet::parse(&self.packet) else {
            return refuse("refused", code::ILLEGAL, "not a request");
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
        let socket = match TransferSocket::open(asked, client) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%client, %error, "no socket for a TFTP transfer");
                return refuse("busy", code::OTHER, "no socket for the transfer; try again");
            }
        };
        self.counters.count("read", kind);
        self.transfer(&request, socket, Source::new(body)).await
    }

    async fn transfer(&self, request: &Request<'_>, socket: TransferSocket, source: Source) -> Ended {
        let terms = Terms::new(request, source.length(), socket.mtu());
        let Terms { length: octets, block, window, .. } = terms;
        note(&self.ctx, self.pair.0, described(request), TftpOutcome::Sending { octets, block, window });
        let (word, outcome) = match Sender::new(socket, &terms, source).run(&self.shared).await {
            Ok(Ending::Completed) => ("completed", TftpOutcome::Sent { octets }),
            Ok(Ending::Unconfirmed) => ("unconfirmed", TftpOutcome::Unconfirmed { octets }),
            Ok(Ending::Aborted { code, message }) => {
                ("aborted", TftpOutcome::Aborted { code, message: message.into() })
            }
            Ok(Ending::Closed { after }) => ("aborted", TftpOutcome::Closed { after }),
            Ok(Ending::TimedOut { after }) => ("timed-out", TftpOutcome::TimedOut { after }),
            Err(Unavailable { message, .. }) => ("failed", TftpOutcome::Failed { why: message.into() }),
        };
        (("transfer", word), outcome)
    }
}
