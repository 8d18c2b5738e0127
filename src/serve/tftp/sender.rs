//! One transfer from its first packet to its last: the state machine, its socket, its source and its alarm.
//!
//! In lock-step an acknowledgement costs one receive and one send; a window costs one send when the system can divide it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::OptionFuture;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::options::Terms;
use super::socket::{LONGEST_BURST, TransferSocket};
use super::source::{Coming, Source, Unavailable};
use super::transfer::{Due, Ending, Transfer};
use super::wire::{self, Packet, code};

/// Octets of a DATA packet before its block.
const HEADER: usize = 4;
/// Longest packet that a client may send during a transfer: an ERROR and its message.
const LONGEST_PACKET: usize = 512;
/// Packets read before anything is sent: more than an honest client sends in that time.
const READ_AT_ONCE: usize = 64;

/// What the listener and a running transfer tell each other.
#[derive(Debug, Default)]
pub struct Shared {
    /// The client has acknowledged something: if it sends its request again, it has started over.
    pub heard: AtomicBool,
    /// The client has sent its request again before that.
    pub again: Notify,
}

/// A transfer about to begin.
pub struct Sender {
    socket: TransferSocket,
    transfer: Transfer,
    source: Source,
    block: usize,
    lock_step: bool,
    oack: Vec<u8>,
    burst: Vec<u8>,
    began: Instant,
}

/// Why nothing more can be sent now.
enum Stop {
    Idle,
    Full,
    /// Octets from here on are not at hand.
    Wants(u64),
}

impl Sender {
    /// A transfer of `source` on these terms.
    pub fn new(socket: TransferSocket, terms: &Terms, source: Source) -> Sender {
        let oack = wire::oack(&terms.accepted);
        let block = usize::from(terms.block);
        Sender {
            socket,
            transfer: Transfer::new(terms),
            source,
            block,
            lock_step: terms.window <= 1,
            oack,
            burst: Vec::new(),
            began: Instant::now(),
        }
    }

    /// Carries it through.
    pub async fn run(mut self, shared: &Shared) -> Result<Ending, Unavailable> {
        let alarm = sleep_until(self.began + self.transfer.deadline());
        tokio::pin!(alarm);
        let mut coming: Option<Coming> = None;
        loop {
            self.receive();
            shared.heard.store(self.transfer.is_heard(), Ordering::Relaxed);
            let stop = self.send();
            if let Some(ending) = self.transfer.ending() {
                return Ok(ending.clone());
            }
            if let (Stop::Wants(from), None) = (&stop, &coming) {
                coming = Some(self.source.fetch(*from));
            }
            // Setting an alarm costs more than letting it ring in vain: it is set only to ring sooner.
            let deadline = self.began + self.transfer.deadline();
            if deadline < alarm.deadline() {
                alarm.as_mut().reset(deadline);
            }
            tokio::select! {
                fetched = OptionFuture::from(coming.as_mut()), if coming.is_some() => {
                    coming = None;
                    self.take(fetched)?;
                }
                _ = self.socket.readable() => {}
                _ = self.socket.writable(), if matches!(stop, Stop::Full) => {}
                () = shared.again.notified(), if !self.transfer.is_heard() => {
                    self.transfer.asked_again(self.began.elapsed());
                }
                () = &mut alarm => {
                    self.transfer.tick(self.began.elapsed());
                    alarm.as_mut().reset(self.began + self.transfer.deadline());
                }
            }
        }
    }

    /// Takes what was fetched; if it could not be, the client is told.
    fn take(&mut self, fetched: Option<Result<(u64, Bytes), Unavailable>>) -> Result<(), Unavailable> {
        let gone = || Unavailable { code: code::OTHER, message: "the file ends too soon".into() };
        let outcome = fetched.ok_or_else(gone).flatten().and_then(|(start, octets)| {
            if octets.is_empty() {
                return Err(gone());
            }
            self.source.take(start, octets);
            Ok(())
        });
        if let Err(why) = &outcome {
            self.socket.try_send_last(&wire::error(why.code, &why.message));
        }
        outcome
    }

    /// Takes every packet that has come.
    fn receive(&mut self) {
        let mut buffer = [0; LONGEST_PACKET];
        for _ in 0..READ_AT_ONCE {
            match self.socket.try_receive(&mut buffer) {
                Ok(length) => match Packet::parse(buffer.get(..length).unwrap_or_default()) {
                    Ok(Packet::Ack(number)) => {
                        self.transfer.acknowledged(number, self.began.elapsed());
                        // In lock-step the client waits for this block alone: it goes out before the socket is asked
                        // whether there is more, which there never is.
                        if self.lock_step && self.transfer.due().is_some() {
                            return;
                        }
                    }
                    Ok(Packet::Error { code, message }) => self.transfer.aborted(code, message),
                    Ok(_) | Err(wire::Malformed) => {}
                },
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.transfer.closed(),
                // Nothing has come; whatever else a network reports may pass, and the alarm is set.
                Err(_) => return,
            }
        }
    }

    /// Sends what is due, as far as that goes.
    fn send(&mut self) -> Stop {
        while let Some(due) = self.transfer.due() {
            let sent = match due {
                Due::Oack => self.socket.try_send(&self.oack, self.oack.len()),
                Due::Blocks { first, count } => {
                    self.fill(first, count);
                    if self.burst.is_empty() {
                        return Stop::Wants((first - 1) * self.block as u64);
                    }
                    self.socket.try_send(&self.burst, self.block + HEADER)
                }
            };
            match sent {
                Ok(0) => return Stop::Full,
                Ok(sent) => self.transfer.sent(u16::try_from(sent).unwrap_or(u16::MAX), self.began.elapsed()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.transfer.closed(),
                // No route just now, or a filter: as lost as it would be further on.
                Err(_) => self.transfer.sent(u16::MAX, self.began.elapsed()),
            }
        }
        Stop::Idle
    }

    /// Fills the burst with as many of these blocks as are at hand and fit.
    fn fill(&mut self, first: u64, count: u16) {
        let packet = self.block + HEADER;
        if count > 1 && self.burst.capacity() == 0 {
            self.socket.divide(packet);
        }
        self.burst.clear();
        let most = usize::from(count).min(LONGEST_BURST / packet);
        self.burst.reserve(most * packet);
        for number in (first..).take(most) {
            let whole = self.burst.len();
            // What goes on the wire rolls over to 0.
            wire::data_header(u16::try_from(number & 0xffff).unwrap_or_default(), &mut self.burst);
            if !self.source.append((number - 1) * self.block as u64, self.block, &mut self.burst) {
                self.burst.truncate(whole);
                return;
            }
        }
    }
}
