//! The transfer machine, case by case, on a clock that the test moves.

use std::time::Duration;

use rackwright::serve::tftp::options::Terms;
use rackwright::serve::tftp::transfer::{Due, Ending, Transfer};

const NONE: [u64; 0] = [];

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A transfer of so many full blocks of 512 (and an empty one), and what it has sent.
struct Server {
    transfer: Transfer,
    now: Duration,
}

impl Server {
    /// With options and a window; the OACK has been sent and acknowledged within 1 ms.
    fn windowed(blocks: u64, window: u16) -> Server {
        let mut server = Server::new(blocks, window, true);
        assert_eq!(server.send(), [0]);
        server.now = ms(1);
        server.transfer.acknowledged(0, server.now);
        server
    }

    fn new(blocks: u64, window: u16, options: bool) -> Server {
        let accepted = if options { vec![("windowsize".to_owned(), window.to_string())] } else { Vec::new() };
        let terms = Terms { length: blocks * 512, block: 512, window, timeout: None, accepted };
        Server { transfer: Transfer::new(&terms), now: Duration::ZERO }
    }

    /// Sends all that is due; gives the blocks' numbers, 0 for the OACK.
    fn send(&mut self) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some(due) = self.transfer.due() {
            let (first, count) = match due {
                Due::Oack => (0, 1),
                Due::Blocks { first, count } => (first, count),
            };
            sent.extend(first..first + u64::from(count));
            self.transfer.sent(count, self.now);
        }
        sent
    }

    /// What is sent when this ACK comes `after` the last thing that happened.
    fn ack(&mut self, after: Duration, number: u16) -> Vec<u64> {
        self.now += after;
        self.transfer.acknowledged(number, self.now);
        self.send()
    }

    /// What is sent when the alarm rings, and how long that took.
    fn alarm(&mut self) -> (Duration, Vec<u64>) {
        let waited = self.transfer.deadline().saturating_sub(self.now);
        self.now += waited;
        self.transfer.tick(self.now);
        (waited, self.send())
    }
}

#[test]
fn lock_step_from_the_first_block_to_an_empty_last_one() {
    let mut server = Server::new(2, 1, false);
    assert_eq!(server.send(), [1]);
    assert_eq!(server.ack(ms(1), 1), [2]);
    assert_eq!(server.ack(ms(1), 2), [3]);
    assert_eq!(server.transfer.ending(), None);
    assert_eq!(server.ack(ms(1), 3), NONE);
    assert_eq!(server.transfer.ending(), Some(&Ending::Completed));
}

#[test]
fn windows_and_a_last_one_that_is_not_full() {
    let mut server = Server::windowed(5, 4);
    assert_eq!(server.send(), [1, 2, 3, 4]);
    assert_eq!(server.ack(ms(1), 4), [5, 6]);
    assert_eq!(server.ack(ms(1), 6), NONE);
    assert_eq!(server.transfer.ending(), Some(&Ending::Completed));
}

#[test]
fn an_ack_inside_the_window_resumes_after_it_at_once() {
    let mut server = Server::windowed(100, 8);
    server.send();
    assert_eq!(server.ack(ms(1), 3), (4..12).collect::<Vec<_>>());
    // The blocks after the gap were under way, and an eager client reports each of them: one answer is enough.
    for _ in 0..5 {
        assert_eq!(server.ack(Duration::from_micros(10), 3), NONE);
    }
    assert_eq!(server.ack(ms(1), 11), (12..20).collect::<Vec<_>>());
}

#[test]
fn the_first_block_of_a_window_lost_is_sent_again_at_once() {
    let mut server = Server::windowed(100, 4);
    assert_eq!(server.send(), [1, 2, 3, 4]);
    assert_eq!(server.ack(ms(1), 0), [1, 2, 3, 4], "block 2 came, 1 did not");
    // The same client reports 3 and 4 as well.
    assert_eq!(server.ack(Duration::from_micros(10), 0), NONE);
    assert_eq!(server.ack(Duration::from_micros(10), 0), NONE);
    assert_eq!(server.ack(ms(1), 4), [5, 6, 7, 8]);
    // Lost again after it was sent again: the report is answered, if not as quickly.
    assert_eq!(server.ack(ms(1), 4), [5, 6, 7, 8]);
    assert_eq!(server.ack(ms(1), 4), NONE);
    let (waited, sent) = server.alarm();
    assert_eq!(sent, [5, 6, 7, 8]);
    assert!(waited <= ms(5), "{waited:?}");
}

#[test]
fn an_ack_that_comes_when_the_window_is_about_to_go_out_again() {
    for (number, follows) in [(4, vec![5, 6, 7, 8]), (2, vec![3, 4, 5, 6])] {
        let mut server = Server::windowed(100, 4);
        server.send();
        server.now = server.transfer.deadline();
        server.transfer.tick(server.now);
        assert_eq!(server.transfer.due(), Some(Due::Blocks { first: 1, count: 4 }));
        assert_eq!(server.ack(ms(0), number), follows);
    }
}

#[test]
fn a_doubled_ack_does_not_double_what_follows() {
    // In lock-step a repeated ACK is never answered.
    let mut server = Server::new(100, 1, false);
    server.send();
    for block in 1..20 {
        assert_eq!(server.ack(ms(1), block), [u64::from(block) + 1]);
        assert_eq!(server.ack(Duration::from_micros(10), block), NONE);
        assert_eq!(server.ack(ms(3), block), NONE);
    }
    // With windows the echo of an ACK comes too soon to be a report about the window it caused.
    let mut server = Server::windowed(100, 4);
    server.send();
    for end in (4..40).step_by(4) {
        assert_eq!(server.ack(ms(2), end).len(), 4);
        assert_eq!(server.ack(Duration::from_micros(10), end), NONE);
    }
    // Old ones and ones of blocks never sent mean nothing.
    for number in [0, 12, 35, 41, 44, 1000, 40_000, 65_535] {
        assert_eq!(server.ack(ms(1), number), NONE, "{number}");
    }
}

#[test]
fn block_numbers_roll_over_to_zero() {
    for window in [1, 7, 64] {
        let mut server = Server::windowed(200_000, window);
        let mut expected = 1;
        let mut sent = server.send();
        while let Some(last) = sent.last().copied() {
            assert_eq!(sent, (expected..=last).collect::<Vec<_>>());
            expected = last + 1;
            sent = server.ack(Duration::from_micros(50), (last & 0xffff) as u16);
        }
        assert_eq!(server.transfer.ending(), Some(&Ending::Completed));
        assert_eq!(expected, 200_002);
    }
}

#[test]
fn losses_at_the_roll_over_are_repaired() {
    let mut server = Server::windowed(70_000, 8);
    let mut sent = server.send();
    while sent.last() != Some(&65_536) {
        let last = *sent.last().unwrap();
        sent = server.ack(ms(1), (last & 0xffff) as u16);
    }
    assert_eq!(sent, (65_529..=65_536).collect::<Vec<_>>(), "the last of them is 0 on the wire");
    assert_eq!(server.ack(ms(1), 65_535), (65_536..65_544).collect::<Vec<_>>(), "0 was lost");
    assert_eq!(server.ack(ms(5), 65_535), (65_536..65_544).collect::<Vec<_>>(), "and again");
    assert_eq!(server.ack(ms(1), 2), (65_539..65_547).collect::<Vec<_>>());
}

#[test]
fn silence_is_answered_ever_more_slowly_and_then_given_up() {
    let mut server = Server::windowed(100, 2);
    server.send();
    let (mut waits, mut blocks) = (Vec::new(), 0);
    while server.transfer.ending().is_none() {
        let (waited, sent) = server.alarm();
        waits.push(waited);
        blocks += sent.len();
    }
    assert_eq!(waits[..7], [25, 50, 100, 200, 400, 800, 1600].map(ms));
    assert!(waits[7..].iter().all(|wait| *wait <= ms(3000)), "{waits:?}");
    assert!(blocks <= 2 * 14, "{blocks}");
    assert!(server.now <= ms(31_000), "{:?}", server.now);
    assert_eq!(server.transfer.ending(), Some(&Ending::TimedOut { after: 0 }));
}

#[test]
fn a_forged_address_gets_few_packets() {
    for options in [true, false] {
        let mut server = Server::new(100, 1, options);
        let mut sent = server.send().len();
        while server.transfer.ending().is_none() {
            sent += server.alarm().1.len();
        }
        assert_eq!(sent, 5);
        assert!(server.now <= ms(15_000), "{:?}", server.now);
    }
}

#[test]
fn repeating_oneself_is_no_progress() {
    let mut server = Server::windowed(100, 2);
    server.send();
    while server.transfer.ending().is_none() {
        server.ack(ms(90), 0);
        server.transfer.tick(server.now);
        assert!(server.now < ms(31_000));
    }
    assert_eq!(server.transfer.ending(), Some(&Ending::TimedOut { after: 0 }));
}

#[test]
fn the_clients_own_time_between_tries() {
    let accepted = vec![("timeout".to_owned(), "5".to_owned())];
    let terms = Terms { length: 5000, block: 512, window: 1, timeout: Some(ms(5000)), accepted };
    let mut server = Server { transfer: Transfer::new(&terms), now: Duration::ZERO };
    assert_eq!(server.send(), [0]);
    assert_eq!(server.alarm(), (ms(5000), vec![0]));
    assert_eq!(server.ack(ms(1), 0), [1]);
    assert_eq!(server.alarm(), (ms(5000), vec![1]));
    while server.transfer.ending().is_none() {
        server.alarm();
    }
    assert!(server.now <= ms(36_000), "{:?}", server.now);
}

#[test]
fn who_goes_away_is_told_apart() {
    // An error, at once.
    let mut server = Server::windowed(100, 4);
    server.send();
    server.transfer.aborted(8, "no".into());
    assert_eq!((server.transfer.due(), server.send()), (None, Vec::new()));
    assert_eq!(server.transfer.ending(), Some(&Ending::Aborted { code: 8, message: "no".into() }));
    // A port that closes before the end, and after everything was sent.
    let mut server = Server::windowed(2, 1);
    server.send();
    assert_eq!(server.ack(ms(1), 1), [2]);
    let mut early = server.transfer.clone();
    early.closed();
    assert_eq!(early.ending(), Some(&Ending::Closed { after: 1 }));
    assert_eq!(server.ack(ms(1), 2), [3]);
    let mut silent = Server { transfer: server.transfer.clone(), now: server.now };
    server.transfer.closed();
    assert_eq!(server.transfer.ending(), Some(&Ending::Unconfirmed));
    while silent.transfer.ending().is_none() {
        silent.alarm();
    }
    assert_eq!(silent.transfer.ending(), Some(&Ending::Unconfirmed));
}

#[test]
fn a_request_sent_again_is_answered_until_the_client_was_heard() {
    let mut server = Server::new(100, 1, true);
    server.send();
    server.transfer.asked_again(ms(1));
    assert_eq!(server.send(), NONE, "the network doubled it");
    server.now = ms(900);
    server.transfer.asked_again(server.now);
    assert_eq!(server.send(), [0]);
    assert_eq!(server.ack(ms(1), 0), [1]);
    server.transfer.asked_again(server.now + ms(900));
    assert_eq!(server.send(), NONE);
}
