//! The transfer machine against a model client, on a network that loses, doubles and reorders: the file arrives octet for
//! octet or the transfer ends within a bound, and what is sent stays in proportion to what was heard.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rackwright::serve::tftp::options::Terms;
use rackwright::serve::tftp::transfer::{Due, Ending, Transfer};

/// What the network does to one packet, by turns.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Lost,
    Once(u16),
    Twice(u16, u16),
}

/// How a client hears: real ones differ.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// Reports every block that came out of order, instead of the first of a burst.
    eager: bool,
    /// Silence, in milliseconds, after which it says again what it had last; `None` leaves it all to the server.
    impatience: Option<u16>,
    /// Gives up after the OACK, like firmware that wanted the size.
    aborts: bool,
}

/// The receiving half as RFC 1350 and RFC 7440 describe it.
struct Reader {
    manner: Manner,
    block: usize,
    window: u64,
    got: Vec<u8>,
    /// The next block wanted.
    wanted: u64,
    unacknowledged: u64,
    reported: bool,
    done: bool,
    last_word: Option<u16>,
    heard_at: Duration,
}

enum Said {
    Ack(u16),
    Error,
}

/// What travels: the OACK is `Block(0, …)`, an ACK has its number.
#[derive(Clone, Debug)]
enum Packet {
    Block(u64, Vec<u8>),
    Ack(u16),
    Error,
}

impl Reader {
    fn hear(&mut self, number: u64, octets: &[u8], now: Duration) -> Option<Said> {
        self.heard_at = now;
        // A real client sees two octets; with windows far smaller than 65536 they mean this block.
        let ahead = (number as u16).wrapping_sub(self.wanted as u16);
        if number == 0 {
            let fresh = self.wanted == 1 && self.got.is_empty();
            return fresh.then(|| if self.manner.aborts { Said::Error } else { self.say(0) });
        }
        if ahead == 0 && !self.done {
            self.got.extend(octets);
            self.wanted += 1;
            self.unacknowledged += 1;
            self.reported = false;
            self.done = octets.len() < self.block;
            if self.done || self.unacknowledged >= self.window {
                return Some(self.say((self.wanted - 1) as u16));
            }
            return None;
        }
        // Out of order, or heard before.
        if ahead < 0x8000 && !self.done {
            if self.reported && !self.manner.eager {
                return None;
            }
            self.reported = true;
            return Some(self.say((self.wanted - 1) as u16));
        }
        self.done.then(|| self.say((self.wanted - 1) as u16))
    }

    fn say(&mut self, number: u16) -> Said {
        self.unacknowledged = 0;
        self.last_word = Some(number);
        Said::Ack(number)
    }
}

/// A whole transfer on virtual time.
struct Play {
    transfer: Transfer,
    reader: Reader,
    file: Vec<u8>,
    fates: Vec<Fate>,
    turn: usize,
    /// Whether the socket had no room at the last step.
    full: bool,
    now: Duration,
    /// What is on the way, by time of arrival.
    way: BTreeMap<(Duration, usize), Packet>,
    /// Blocks sent, and things that may cause a window: ACKs that arrived, and ticks.
    sent: u64,
    causes: u64,
}

impl Play {
    fn new(terms: &Terms, manner: Manner, fates: Vec<Fate>) -> Play {
        let file: Vec<u8> = (0..terms.length).map(|n| (n * 7 % 251) as u8).collect();
        let (block, window) = (usize::from(terms.block), u64::from(terms.window));
        let reader = Reader {
            manner,
            block,
            window,
            got: Vec::new(),
            wanted: 1,
            unacknowledged: 0,
            reported: false,
            done: false,
            last_word: None,
            heard_at: Duration::ZERO,
        };
        let transfer = Transfer::new(terms);
        Play {
            transfer,
            reader,
            file,
            fates,
            turn: 0,
            full: false,
            now: Duration::ZERO,
            way: BTreeMap::new(),
            sent: 0,
            causes: 0,
        }
    }

    fn post(&mut self, packet: &Packet) {
        let fate = self.fates[self.turn % self.fates.len()];
        self.turn += 1;
        let mut arrive = |micros: u16, copy: usize| {
            let at = self.now + Duration::from_micros(50 + u64::from(micros));
            self.way.insert((at, self.turn * 2 + copy), packet.clone());
        };
        match fate {
            Fate::Lost => {}
            Fate::Once(after) => arrive(after, 0),
            Fate::Twice(one, other) => (arrive(one, 0), arrive(other, 1)).0,
        }
    }

    fn send(&mut self) {
        while let Some(due) = self.transfer.due() {
            let (first, count) = match due {
                Due::Oack => (0, 1),
                Due::Blocks { first, count } => (first, count),
            };
            // As a socket with little room would: some now, the rest in the next round.
            let count = count.min(3);
            for number in first..first + u64::from(count) {
                let octets = match number.checked_sub(1) {
                    None => Vec::new(),
                    Some(before) => {
                        let from = before as usize * self.reader.block;
                        self.file[from..self.file.len().min(from + self.reader.block)].to_vec()
                    }
                };
                self.sent += 1;
                self.post(&Packet::Block(number, octets));
            }
            self.transfer.sent(count, self.now);
        }
    }

    /// One step; false when nothing will happen any more.
    fn step(&mut self) -> bool {
        // Now and then the socket has no room, and something comes before it has.
        self.full = !self.full && !self.way.is_empty() && self.turn.is_multiple_of(5);
        if !self.full {
            self.send();
        }
        if self.transfer.ending().is_some() {
            return false;
        }
        let arrival = self.way.keys().next().copied();
        let nudge = self.reader.manner.impatience.filter(|_| !self.reader.done && self.reader.last_word.is_some());
        let nudge = nudge.map(|wait| self.reader.heard_at + Duration::from_millis(u64::from(wait.max(10))));
        let alarm = self.transfer.deadline();
        let next = [arrival.map(|(at, _)| at), nudge, Some(alarm)].into_iter().flatten().min().unwrap();
        self.now = self.now.max(next);
        if arrival.is_some_and(|(at, _)| at == next) {
            let packet = self.way.pop_first().unwrap().1;
            self.arrive(packet);
        } else if nudge == Some(next) {
            self.reader.heard_at = self.now;
            let word = self.reader.last_word.unwrap();
            self.post(&Packet::Ack(word));
        } else {
            self.causes += 1;
            self.transfer.tick(self.now);
        }
        true
    }

    fn arrive(&mut self, packet: Packet) {
        match packet {
            Packet::Block(number, octets) => match self.reader.hear(number, &octets, self.now) {
                Some(Said::Ack(number)) => self.post(&Packet::Ack(number)),
                Some(Said::Error) => self.post(&Packet::Error),
                None => {}
            },
            Packet::Ack(number) => {
                self.causes += 1;
                self.transfer.acknowledged(number, self.now);
            }
            Packet::Error => self.transfer.aborted(0, "User aborted the transfer".into()),
        }
    }

    fn run(&mut self) -> Result<Ending, TestCaseError> {
        for _ in 0..200_000 {
            if !self.step() {
                let ending = self.transfer.ending().cloned();
                return ending.ok_or_else(|| TestCaseError::fail("stopped without an end"));
            }
        }
        Err(TestCaseError::fail("goes on for ever"))
    }
}

fn fates(loss: u32) -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        loss => Just(Fate::Lost),
        30 => (0_u16..200).prop_map(Fate::Once),
        6 => (0_u16..20_000).prop_map(Fate::Once),
        4 => (0_u16..200, 0_u16..40_000).prop_map(|(one, other)| Fate::Twice(one, other)),
    ];
    proptest::collection::vec(fate, 1..120)
}

fn manner() -> impl Strategy<Value = Manner> {
    let impatience = proptest::option::of(10_u16..3000);
    (any::<bool>(), impatience, proptest::bool::weighted(0.05)).prop_map(|(eager, impatience, aborts)| Manner {
        eager,
        impatience,
        aborts,
    })
}

prop_compose! {
    fn terms()(length in 0_u64..6000, block in 8_u16..200, window in 1_u16..=64, asked in any::<bool>(), timeout in
        proptest::option::weighted(0.2, 1_u64..10)) -> Terms {
        // Without options: lock-step, and no OACK.
        let accepted = if asked { vec![("tsize".to_owned(), length.to_string())] } else { Vec::new() };
        let window = if asked { window } else { 1 };
        Terms { length, block, window, timeout: timeout.filter(|_| asked).map(Duration::from_secs), accepted }
    }
}

fn check(terms: &Terms, manner: Manner, fates: Vec<Fate>, must_arrive: bool) -> Result<(), TestCaseError> {
    let mut play = Play::new(terms, manner, fates);
    let ending = play.run()?;
    match &ending {
        Ending::Completed => prop_assert_eq!(&play.reader.got, &play.file),
        Ending::Aborted { .. } => prop_assert!(manner.aborts),
        Ending::Unconfirmed | Ending::TimedOut { .. } => {
            prop_assert!(!must_arrive || manner.aborts, "{:?} though little was lost", ending);
        }
        Ending::Closed { .. } => prop_assert!(false, "nobody closed anything"),
    }
    // Half a minute without news is the longest silence, whatever the client says again and again.
    prop_assert!(play.file.starts_with(&play.reader.got), "what arrived is the file's beginning");
    // One cause, one window; the first packet has none.
    let most = (play.causes + 1) * u64::from(terms.window);
    prop_assert!(play.sent <= most, "{} blocks for {} causes", play.sent, play.causes);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_file_arrives_or_the_transfer_ends(terms in terms(), manner in manner(), fates in fates(12)) {
        check(&terms, manner, fates, false)?;
    }

    #[test]
    fn without_loss_it_always_arrives(terms in terms(), manner in manner(), fates in fates(0)) {
        check(&terms, manner, fates, true)?;
    }

    #[test]
    fn anything_a_client_says_is_survived(terms in terms(), script in proptest::collection::vec((0_u8..5, any::<u16>()), 0..400)) {
        let (mut transfer, mut now) = (Transfer::new(&terms), Duration::ZERO);
        let (mut sent, mut causes) = (0, 1);
        for (what, number) in script {
            match what {
                0 => transfer.acknowledged(number, now),
                1 => transfer.acknowledged(number % 70, now),
                2 => now += Duration::from_micros(number.into()),
                3 => transfer.asked_again(now),
                _ => transfer.tick(now),
            }
            causes += 1;
            while let Some(due) = transfer.due() {
                let count = match due { Due::Oack => 1, Due::Blocks { count, .. } => count };
                sent += u64::from(count);
                transfer.sent(count, now);
            }
        }
        prop_assert!(sent <= causes * u64::from(terms.window));
    }
}
