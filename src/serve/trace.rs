//! The boot-chain trace: what each machine asked of DHCP, TFTP, HTTP and the check-in, and when, so that "stuck after the
//! second DHCP reply" can be seen. Kept in memory only: it explains, it decides nothing.
//!
//! A machine's steps come in attempts, one for each power-on as far as that can be told from outside ([`begins`]).
//! Repeats are folded into one step with a count. What is kept is bounded in steps, attempts, machines and octets, and
//! lies in shards, so that a rack that powers on at once does not queue at one lock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Mac, Time};

mod chain;
mod instant;
mod standing;

pub use chain::{Client, client};
pub use standing::{Known, Standing, standing};

/// Shards, each with its own lock.
const SHARDS: usize = 16;
/// Machines remembered; the one that was silent longest is forgotten first.
pub const MACHINES: usize = 4096;
/// Attempts remembered of each machine.
pub const ATTEMPTS: usize = 4;
/// Steps remembered of each attempt: the first sixteen, and the newest.
pub const STEPS: usize = 48;
/// Steps at an attempt's beginning that are never dropped: they tell how far the firmware came.
const HEAD: usize = 16;
/// Longest text of a step, in octets.
pub const TEXT: usize = 160;
/// Octets that all of it may take; beyond that machines are forgotten as above.
pub const BUDGET: usize = 32 << 20;
/// How many steps back a repeat is looked for: firmware that starts over says the same two to four things again.
const LOOK_BACK: usize = 4;
/// A firmware that was silent for so long and looks for a server again was started again.
const FIRMWARE_SILENCE: Duration = Duration::from_secs(180);
/// An operating system that was silent for so long and looks for a server again was started again.
const SYSTEM_SILENCE: Duration = Duration::from_secs(1800);

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// DHCP and proxy DHCP.
    Dhcp,
    /// TFTP.
    Tftp,
    /// Boot files and static files over HTTP.
    Http,
    /// `POST /checkin/…`.
    Checkin,
}

impl Service {
    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Service::Dhcp => "DHCP",
            Service::Tftp => "TFTP",
            Service::Http => "HTTP",
            Service::Checkin => "check-in",
        }
    }
}

/// One step of a boot chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Step {
    /// When, for the first time.
    #[serde(with = "instant")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Time,
    /// When, for the last time.
    #[serde(with = "instant")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last: Time,
    /// How many times.
    pub count: u32,
    /// Who answered.
    pub by: Service,
    /// What was asked: `discover` (with the firmware's kind), a file's name, a check-in's action.
    pub asked: String,
    /// What came of it: `offer 192.0.2.7, ipxe.efi from 192.0.2.1`, `sent 174592 octets`, `aborted by the client`.
    pub outcome: String,
}

impl Step {
    /// Octets it takes in memory.
    fn cost(&self) -> usize {
        size_of::<Step>() + self.asked.capacity() + self.outcome.capacity()
    }
}

/// What a machine did from one power-on to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Attempt {
    /// Counted from 1, as far as the daemon has seen.
    pub number: u32,
    /// The steps, in the order in which they were first taken.
    pub steps: VecDeque<Step>,
    /// How many steps from the middle are forgotten.
    #[serde(default)]
    pub dropped: u32,
}

impl Attempt {
    /// When the machine was last heard.
    pub fn heard(&self) -> Option<Time> {
        self.steps.iter().map(|step| step.last).max()
    }

    /// Adds a step, folding it into an equal one or into the transfer it ends. Returns the change in octets.
    fn add(&mut self, step: Step) -> isize {
        let recent = self.steps.len().saturating_sub(LOOK_BACK);
        let before: isize = signed(self.steps.iter().skip(recent).map(Step::cost).sum());
        // A transfer is told when it begins and when it ends; one line is enough for both.
        if let Some(at) = (recent..self.steps.len()).rev().find(|at| step.ends(&self.steps[*at])) {
            let begun = &mut self.steps[at];
            if begun.count > 1 {
                begun.count -= 1;
            } else {
                self.steps.remove(at);
            }
        }
        let from = self.steps.len().saturating_sub(LOOK_BACK);
        match self.steps.iter_mut().skip(from).rev().find(|known| known.repeats(&step)) {
            Some(known) => {
                known.count = known.count.saturating_add(1);
                known.last = step.at;
            }
            None => self.steps.push_back(step),
        }
        let mut change = signed(self.steps.iter().skip(recent).map(Step::cost).sum()) - before;
        if self.steps.len() > STEPS {
            change -= self.steps.remove(HEAD).map_or(0, |gone| signed(gone.cost()));
            self.dropped = self.dropped.saturating_add(1);
        }
        change
    }

    fn cost(&self) -> usize {
        self.steps.iter().map(Step::cost).sum()
    }
}

impl Step {
    fn repeats(&self, other: &Step) -> bool {
        (self.by, &self.asked, &self.outcome) == (other.by, &other.asked, &other.outcome)
    }

    /// Whether this is the end of the TFTP transfer whose beginning is `begun`.
    fn ends(&self, begun: &Step) -> bool {
        let sending = |step: &Step| step.outcome.starts_with("sending ");
        self.by == Service::Tftp
            && begun.by == Service::Tftp
            && self.asked == begun.asked
            && sending(begun)
            && !sending(self)
    }
}

fn signed(octets: usize) -> isize {
    isize::try_from(octets).unwrap_or(isize::MAX)
}

/// Whether a step of a machine begins a new attempt: a client looks for a server after it had gone on to something else,
/// or after a long silence.
///
/// iPXE that our own TFTP brought asks for an address a second time within the same attempt; so does the operating system
/// or installer that iPXE starts.
pub fn begins(current: Option<&Attempt>, step: &Step) -> bool {
    let Some(attempt) = current else { return true };
    let Some(silence) = attempt.heard().map(|heard| step.at.since(heard)) else { return false };
    let Some(client) = client(step).filter(|_| step.asked.starts_with("discover")) else { return false };
    let same = |known: &Step| chain::client(known).is_some_and(|known| known == client);
    match client {
        Client::Firmware(_) => !attempt.steps.iter().all(same) || silence >= FIRMWARE_SILENCE,
        Client::Ipxe => {
            // Anything after iPXE's own DHCP is what iPXE went on to.
            let asked = attempt.steps.iter().position(same);
            let went_on = asked.is_some_and(|at| attempt.steps.iter().skip(at).any(|known| !same(known)));
            let os = attempt.steps.iter().any(|known| matches!(chain::client(known), Some(Client::System)));
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
}

impl Machine {
    fn add(&mut self, step: Step) -> isize {
        self.heard = self.heard.max(step.at);
        let mut change = 0;
        if begins(self.attempts.back(), &step) {
            self.begun = self.begun.saturating_add(1);
            if self.attempts.len() >= ATTEMPTS {
                change -= self.attempts.pop_front().map_or(0, |gone| signed(gone.cost()));
            }
            self.attempts.push_back(Attempt { number: self.begun, ..Attempt::default() });
        }
        change + self.attempts.back_mut().map_or(0, |attempt| attempt.add(step))
    }

    fn cost(&self) -> usize {
        self.attempts.iter().map(Attempt::cost).sum()
    }
}

#[derive(Debug, Default)]
struct Shard {
    machines: HashMap<Mac, Machine>,
    octets: isize,
}

impl Shard {
    fn note(&mut self, mac: Mac, step: Step) {
        if self.machines.len() >= MACHINES / SHARDS && !self.machines.contains_key(&mac) {
            self.forget_quietest(mac);
        }
        self.octets += self.machines.entry(mac).or_default().add(step);
        while self.octets > signed(BUDGET / SHARDS) && self.forget_quietest(mac) {}
    }

    /// Forgets the machine that was silent longest, but not `kept`. Says whether there was one.
    fn forget_quietest(&mut self, kept: Mac) -> bool {
        let others = self.machines.iter().filter(|(mac, _)| **mac != kept);
        let quietest = others.min_by_key(|(_, machine)| machine.heard).map(|(mac, _)| *mac);
        let gone = quietest.and_then(|mac| self.machines.remove(&mac));
        self.octets -= gone.as_ref().map_or(0, |machine| signed(machine.cost()));
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
    pub fn note(&self, mac: Mac, at: Time, by: Service, asked: impl Into<String>, outcome: impl Into<String>) {
        // Texts are made and cut before the lock is taken.
        let (asked, outcome) = (cut(asked.into()), cut(outcome.into()));
        let step = Step { at, last: at, count: 1, by, asked, outcome };
        self.shard(mac).lock().unwrap_or_else(PoisonError::into_inner).note(mac, step);
    }

    /// The steps of a machine that are remembered, oldest first.
    pub fn of(&self, mac: Mac) -> Vec<Step> {
        self.attempts(mac).into_iter().flat_map(|attempt| attempt.steps).collect()
    }

    /// The attempts of a machine that are remembered, oldest first.
    pub fn attempts(&self, mac: Mac) -> Vec<Attempt> {
        let shard = self.shard(mac).lock().unwrap_or_else(PoisonError::into_inner);
        shard.machines.get(&mac).map(|machine| machine.attempts.iter().cloned().collect()).unwrap_or_default()
    }

    /// The newest attempt of a machine.
    pub fn last(&self, mac: Mac) -> Option<Attempt> {
        let shard = self.shard(mac).lock().unwrap_or_else(PoisonError::into_inner);
        shard.machines.get(&mac)?.attempts.back().cloned()
    }

    /// How many machines are remembered, and how many octets their steps take.
    pub fn size(&self) -> (usize, usize) {
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shards.fold((0, 0), |(machines, octets), shard| {
            (machines + shard.machines.len(), octets + usize::try_from(shard.octets).unwrap_or(0))
        })
    }

    fn shard(&self, mac: Mac) -> &Mutex<Shard> {
        // The low octets tell the machines of one maker apart; all six, so that nobody can aim at one shard by them.
        let sum = mac.0.iter().fold(0usize, |sum, octet| sum.wrapping_mul(31).wrapping_add(usize::from(*octet)));
        &self.shards[sum % SHARDS]
    }
}

/// At most [`TEXT`] octets, and no control characters: clients choose file names.
fn cut(text: String) -> String {
    let mut text = match text.contains(char::is_control) {
        true => text.replace(char::is_control, "?"),
        false => text,
    };
    if text.len() > TEXT {
        let end = (0..=TEXT - '…'.len_utf8()).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text.shrink_to_fit();
    text
}
