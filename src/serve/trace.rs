//! The boot-chain trace: what each machine asked of DHCP, TFTP, HTTP and the check-in, and what came of it, so that "stuck
//! after the second DHCP reply" can be seen. Kept in memory only: it explains, it decides nothing.
//!
//! A step is data ([`Exchange`]); `words` puts it into a text, [`standing()`] says what the newest attempt means. Steps come
//! in attempts, one for each power-on as far as that can be told from outside (`begins` decides). Repeats are folded into one step
//! with a count. What is kept is bounded in steps, attempts, machines and octets, and lies in shards, so that a rack that
//! powers on at once does not queue at one lock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::{Mac, Time};

mod chain;
mod exchange;
mod standing;
mod step;
mod words;

pub use exchange::{
    BootFile, CheckinAsked, CheckinOutcome, Client, DhcpAsked, DhcpOutcome, Exchange, Grant, HttpAsked, HttpOutcome,
    Service, TEXT, Text, TftpAsked, TftpOutcome,
};
pub use standing::{Known, Standing, standing};
pub use step::{Attempt, STEPS, Step};

/// Shards, each with its own lock.
const SHARDS: usize = 16;
/// Machines remembered; the one that was silent longest is forgotten first.
pub const MACHINES: usize = 4096;
/// Attempts remembered of each machine.
pub const ATTEMPTS: usize = 4;
/// Octets that all of it may take; beyond that machines are forgotten as above.
pub const BUDGET: usize = 32 << 20;
/// A firmware that was silent for so long and looks for a server again was started again.
const FIRMWARE_SILENCE: Duration = Duration::from_secs(180);
/// An operating system that was silent for so long and looks for a server again was started again.
const SYSTEM_SILENCE: Duration = Duration::from_secs(1800);

/// Whether a step of a machine begins a new attempt: a client looks for a server after it had gone on to something else,
/// or after a long silence.
///
/// iPXE that our own TFTP brought asks for an address a second time within the same attempt; so does the operating system
/// or installer that iPXE starts.
fn begins(current: Option<&Attempt>, step: &Step) -> bool {
    let Some(attempt) = current else { return true };
    let Some(silence) = attempt.heard().map(|heard| step.at.since(heard)) else { return false };
    let Some(client) = step.exchange.client().filter(|_| step.exchange.discovers()) else { return false };
    let same = |known: &Step| known.exchange.client() == Some(client);
    match client {
        Client::Firmware { .. } => !attempt.steps.iter().all(same) || silence >= FIRMWARE_SILENCE,
        Client::Ipxe => {
            // Anything after iPXE's own DHCP is what iPXE went on to.
            let asked = attempt.steps.iter().position(same);
            let went_on = asked.is_some_and(|at| attempt.steps.iter().skip(at).any(|known| !same(known)));
            let os = attempt.steps.iter().any(|known| known.exchange.client() == Some(Client::System));
            went_on || os || silence >= FIRMWARE_SILENCE
        }
        Client::System => silence >= SYSTEM_SILENCE,
    }
}

/// What one machine did lately.
#[derive(Debug, Default)]
struct Machine {
    attempts: VecDeque<Attempt>,
    begun: u32,
    heard: Time,
    octets: usize,
}

impl Machine {
    fn add(&mut self, step: Step) {
        self.heard = self.heard.max(step.at);
        if begins(self.attempts.back(), &step) {
            self.begun = self.begun.saturating_add(1);
            if self.attempts.len() >= ATTEMPTS {
                self.attempts.pop_front();
            }
            self.attempts.push_back(Attempt { number: self.begun, ..Attempt::default() });
        }
        if let Some(attempt) = self.attempts.back_mut() {
            attempt.add(step);
        }
        self.octets = self.attempts.iter().flat_map(|attempt| &attempt.steps).map(Step::octets).sum();
    }
}

#[derive(Debug, Default)]
struct Shard {
    machines: HashMap<Mac, Machine>,
    octets: usize,
}

impl Shard {
    fn note(&mut self, mac: Mac, step: Step) {
        if self.machines.len() >= MACHINES / SHARDS && !self.machines.contains_key(&mac) {
            self.forget_quietest(mac);
        }
        let machine = self.machines.entry(mac).or_default();
        let before = machine.octets;
        machine.add(step);
        self.octets = self.octets - before + machine.octets;
        while self.octets > BUDGET / SHARDS && self.forget_quietest(mac) {}
    }

    /// Forgets the machine that was silent longest, but not `kept`. Says whether there was one.
    fn forget_quietest(&mut self, kept: Mac) -> bool {
        let others = self.machines.iter().filter(|(mac, _)| **mac != kept);
        let quietest = others.min_by_key(|(_, machine)| machine.heard).map(|(mac, _)| *mac);
        let gone = quietest.and_then(|mac| self.machines.remove(&mac));
        self.octets -= gone.as_ref().map_or(0, |machine| machine.octets);
        gone.is_some()
    }
}

/// What each machine did lately.
#[derive(Debug, Default)]
pub struct Trace {
    shards: [Mutex<Shard>; SHARDS],
    since: Time,
}

impl Trace {
    /// Nothing seen yet; `now` is when it begins to look.
    pub fn new(now: Time) -> Trace {
        Trace { since: now, ..Trace::default() }
    }

    /// Since when it looks: what came before a restart is not known.
    pub fn since(&self) -> Time {
        self.since
    }

    /// Notes a step.
    pub fn note(&self, mac: Mac, at: Time, exchange: Exchange) {
        self.shard(mac).note(mac, Step { at, last: at, count: 1, exchange });
    }

    /// The steps of a machine that are remembered, oldest first.
    pub fn of(&self, mac: Mac) -> Vec<Step> {
        self.attempts(mac).into_iter().flat_map(|attempt| attempt.steps).collect()
    }

    /// The attempts of a machine that are remembered, oldest first.
    pub fn attempts(&self, mac: Mac) -> Vec<Attempt> {
        let shard = self.shard(mac);
        shard.machines.get(&mac).map(|machine| machine.attempts.iter().cloned().collect()).unwrap_or_default()
    }

    /// The newest attempt of a machine.
    pub fn last(&self, mac: Mac) -> Option<Attempt> {
        self.shard(mac).machines.get(&mac)?.attempts.back().cloned()
    }

    /// How many machines are remembered, and how many octets their steps take.
    pub fn size(&self) -> (usize, usize) {
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shards.fold((0, 0), |(machines, octets), shard| (machines + shard.machines.len(), octets + shard.octets))
    }

    fn shard(&self, mac: Mac) -> MutexGuard<'_, Shard> {
        // The low octets tell the machines of one maker apart; all six, so that nobody can aim at one shard by them.
        let sum = mac.0.iter().fold(0usize, |sum, octet| sum.wrapping_mul(31).wrapping_add(usize::from(*octet)));
        self.shards[sum % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
