//! One transfer as a pure machine: packets and the passing of time go in, what is to be sent next and until when to wait
//! come out. It holds no octets of the file, no socket and no clock.
//!
//! Blocks are counted from 1 without end; only the two octets on the wire roll over, to 0. The OACK is block 0.
//!
//! ```text
//!        acknowledged     sent, awaiting ACK     may be sent
//!     ───────────────────┬────────────────────┬──────────────┬─────────
//!                      base                 next            end
//! ```
//!
//! When a window goes out again, `next` goes back to `base`; `high` stays, for what was sent before may still be
//! acknowledged.
//!
//! What makes a window go out (again):
//! - an ACK of its end: the next one;
//! - an ACK inside it: from the block after that, at once (RFC 7440 section 4);
//! - an ACK of the block before it, when it has more than one block: its first block was lost. That goes out again at once,
//!   but not sooner than an answer to it can have come, so that an ACK the network has doubled is not taken for a report,
//!   and reports of one loss are answered once; a repair that does not help is repeated ever more slowly. In lock-step it is ignored (RFC 1123 section 4.2.3.1: the Sorcerer's
//!   Apprentice);
//! - silence: after a time that follows the round trips seen and doubles with every try, or that the client has asked for.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::time::Duration;

use super::options::Terms;

/// Time since the transfer began.
pub type Moment = Duration;

/// Time between tries: until a round trip was measured, at least, and at most.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LEAST_WAIT: Duration = Duration::from_millis(25);
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// Tries that go unanswered before a transfer is given up; and of the first packet, when nobody may be there: whoever
/// forges a client's address makes us send no more than so many small packets.
const TRIES: u32 = 14;
const FIRST_TRIES: u32 = 5;
/// Longest time without a new acknowledgement: a machine that was switched off is forgotten then.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest transfer there is: a large image in small blocks over a slow line.
const LIFETIME: Duration = Duration::from_secs(2 * 3600);
/// Pause before the second answer to reports of the same loss, when the round trip is shorter.
const REPORTS_APART: Duration = Duration::from_millis(5);

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Oack,
    /// So many blocks from this one on.
    Blocks {
        /// The first one's number; what goes on the wire is its remainder modulo 65536.
        first: u64,
        /// How many; at least one.
        count: u16,
    },
}

/// How a transfer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Completed,
    /// Everything was sent, and all but the last block acknowledged; some clients go away without a word.
    Unconfirmed,
    Aborted {
        code: u16,
        message: String,
    },
    Closed {
        /// The last block that was acknowledged.
        after: u64,
    },
    TimedOut {
        /// The last block that was acknowledged.
        after: u64,
    },
}

/// The state of a transfer.
#[derive(Clone, Debug)]
pub struct Transfer {
    block_window: u64,
    last: u64,
    timeout: Option<Duration>,
    /// The first block not acknowledged; 0 is the OACK.
    base: u64,
    /// The next block to be sent.
    next: u64,
    /// The one before which to stop and wait.
    end: u64,
    /// One more than the last block that was ever sent.
    high: u64,
    sent_at: Moment,
    /// Whether everything under way was sent only once, so that its ACK measures a round trip (Karn's rule).
    clean: bool,
    /// How many times what is under way has been repaired since anything new was acknowledged.
    repairs: u32,
    /// A report came too soon to be told from an echo; if nothing else comes until then, it was one.
    report_due: Option<Moment>,
    /// Smoothed round trip, and its variation (RFC 6298).
    round_trip: Option<(Duration, Duration)>,
    tries: u32,
    progress_at: Moment,
    heard: bool,
    ending: Option<Ending>,
}

impl Transfer {
    /// A transfer that begins at time zero.
    pub fn new(terms: &Terms) -> Transfer {
        let base = u64::from(terms.accepted.is_empty());
        Transfer {
            block_window: u64::from(terms.window.max(1)),
            last: terms.last(),
            timeout: terms.timeout,
            base,
            next: base,
            end: base + 1,
            high: base,
            sent_at: Moment::ZERO,
            clean: true,
            repairs: 0,
            report_due: None,
            round_trip: None,
            tries: 0,
            progress_at: Moment::ZERO,
            heard: false,
            ending: None,
        }
    }

    /// What is to be sent now, if anything.
    pub fn due(&self) -> Option<Due> {
        if self.ending.is_some() || self.next >= self.end {
            return None;
        }
        Some(match self.next {
            0 => Due::Oack,
            first => Due::Blocks { first, count: u16::try_from(self.end - first).unwrap_or(u16::MAX) },
        })
    }

    /// So many of the packets that were due have been sent.
    pub fn sent(&mut self, count: u16, now: Moment) {
        self.next = self.end.min(self.next + u64::from(count));
        self.high = self.high.max(self.next);
        self.sent_at = now;
    }

    /// How it ended, if it has.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Whether the client has acknowledged anything yet.
    pub fn is_heard(&self) -> bool {
        self.heard
    }

    /// When [`Transfer::tick`] must be called at the latest.
    pub fn deadline(&self) -> Moment {
        let given_up = LIFETIME.min(self.progress_at + PATIENCE);
        let again = if self.next < self.end { given_up } else { self.sent_at + self.wait() };
        given_up.min(again).min(self.report_due.unwrap_or(given_up))
    }

    /// An ACK with this number has come.
    pub fn acknowledged(&mut self, number: u16, now: Moment) {
        if self.ending.is_some() {
            return;
        }
        // How many blocks of those under way it acknowledges. A window is much smaller than 65536, so that the number on
        // the wire can mean only one block; those it cannot mean are old, or never sent.
        let low = u16::try_from(self.base & 0xffff).unwrap_or_default();
        let news = u64::from(number.wrapping_sub(low).wrapping_add(1));
        if news == 0 {
            self.reported_lost(now);
        } else if news <= self.high - self.base {
            self.advance(news, now);
        }
    }

    /// Blocks are acknowledged; the rest of the window, if any, was lost.
    fn advance(&mut self, news: u64, now: Moment) {
        let whole = self.base + news == self.high;
        if whole && self.clean && self.next == self.end {
            self.measure(now.saturating_sub(self.sent_at));
        }
        (self.base, self.tries, self.heard, self.progress_at) = (self.base + news, 0, true, now);
        self.window_from_base();
        (self.clean, self.repairs) = (whole, u32::from(!whole));
        if self.base > self.last {
            self.ending = Some(Ending::Completed);
        }
    }

    /// The block before the window was acknowledged again.
    fn reported_lost(&mut self, now: Moment) {
        // With one block under way nothing can have come in its place: it is an echo, or the client's own impatience. And
        // what is about to go out again needs no second reason.
        if self.high - self.base < 2 || self.next == self.base {
            return;
        }
        let trip = self.round_trip.map_or(Duration::ZERO, |(smooth, _)| smooth);
        let apart = match self.repairs.checked_sub(1) {
            None => trip / 2,
            Some(before) => REPORTS_APART.max(2 * trip).saturating_mul(1 << before.min(8)),
        };
        let due = self.sent_at + apart.min(self.wait());
        if now >= due {
            self.again();
        } else {
            self.report_due = Some(due);
        }
    }

    /// The client has sent its request again: the answer to it was lost, or is late.
    pub fn asked_again(&mut self, now: Moment) {
        if !self.heard && self.ending.is_none() && self.next == self.end && now >= self.sent_at + REPORTS_APART {
            self.again();
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Moment) {
        if self.ending.is_some() {
            return;
        }
        let silent = now >= self.progress_at + PATIENCE || now >= LIFETIME;
        let waiting = self.next == self.end;
        if waiting && now >= self.sent_at + self.wait() {
            self.tries += 1;
            self.again();
        } else if self.report_due.is_some_and(|due| now >= due) {
            self.again();
        }
        if silent || self.tries >= if self.heard { TRIES } else { FIRST_TRIES } {
            self.ending = Some(self.given_up(Ending::TimedOut { after: self.base.saturating_sub(1) }));
        }
    }

    /// The client has given up.
    pub fn aborted(&mut self, code: u16, message: String) {
        self.ending.get_or_insert(Ending::Aborted { code, message });
    }

    /// The client's port is closed, as its host has said.
    pub fn closed(&mut self) {
        let ending = self.given_up(Ending::Closed { after: self.base.saturating_sub(1) });
        self.ending.get_or_insert(ending);
    }

    /// A client that has everything may go away before its last word is heard.
    fn given_up(&self, otherwise: Ending) -> Ending {
        let all_sent = self.base == self.last && self.high > self.last;
        if all_sent { Ending::Unconfirmed } else { otherwise }
    }

    /// What is under way goes out again.
    fn again(&mut self) {
        self.window_from_base();
        (self.clean, self.repairs) = (false, self.repairs.saturating_add(1));
    }

    fn window_from_base(&mut self) {
        let blocks = if self.base == 0 { 1 } else { self.block_window };
        self.next = self.base;
        self.end = (self.base + blocks).min(self.last + 1);
        self.report_due = None;
    }

    /// How long the silence after the last packet may be.
    fn wait(&self) -> Duration {
        if let Some(asked) = self.timeout {
            return asked;
        }
        let measured = self.round_trip.map_or(FIRST_WAIT, |(smooth, varies)| smooth + 4 * varies);
        let doubled = measured.max(LEAST_WAIT).saturating_mul(1 << self.tries.min(8));
        doubled.min(LONGEST_WAIT)
    }

    fn measure(&mut self, trip: Duration) {
        self.round_trip = Some(match self.round_trip {
            None => (trip, trip / 2),
            Some((smooth, varies)) => ((smooth * 7 + trip) / 8, (varies * 3 + smooth.abs_diff(trip)) / 4),
        });
    }
}
