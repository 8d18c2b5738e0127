//! What each fuzz target does with octets from anywhere. Included by the targets under `tests/fuzz/` and by the test
//! binary, which replays their corpus.

use std::time::Duration;

use rackwright::serve::tftp::options::Terms;
use rackwright::serve::tftp::transfer::{Due, Transfer};
use rackwright::serve::tftp::wire::{self, Packet};

/// Every target by name. The test binary replays `tests/fuzz/corpus/<name>/` through each.
pub const ENTRIES: &[(&str, fn(&[u8]))] = &[("tftp", tftp)];

/// A packet to the TFTP server. A read request goes on: its octets are then taken as what its client does next.
pub fn tftp(octets: &[u8]) {
    match Packet::parse(octets) {
        Ok(Packet::Read(request)) => {
            let length = octets.iter().fold(7_u64, |sum, octet| sum.wrapping_mul(31) + u64::from(*octet)) % 400_000;
            for mtu in [0, 576, 1500, 65_535] {
                let terms = Terms::new(&request, length, mtu);
                assert!((8..=1468).contains(&terms.block) && (1..=64).contains(&terms.window), "{terms:?}");
                assert!(terms.accepted.len() <= request.options.len());
                assert!(Packet::parse(&wire::oack(&terms.accepted)).is_ok());
                transfer(&terms, octets);
            }
        }
        Ok(Packet::Ack(block)) => assert_eq!(wire::ack(block), octets[..4]),
        Ok(Packet::Error { code, message }) => {
            assert!(message.len() <= 128 && message.bytes().all(|octet| (b' '..=b'~').contains(&octet)));
            assert_eq!(Packet::parse(&wire::error(code, &message)), Ok(Packet::Error { code, message }));
        }
        Ok(_) | Err(wire::Malformed) => {}
    }
}

/// Two octets are one thing that happens to a transfer.
fn transfer(terms: &Terms, script: &[u8]) {
    let (mut transfer, mut now) = (Transfer::new(terms), Duration::ZERO);
    for step in script.chunks_exact(2) {
        let (kind, number) = (step[0] >> 5, u16::from_be_bytes([step[0] & 3, step[1]]));
        match kind {
            0 => now += Duration::from_millis(number.into()),
            1 => transfer.asked_again(now),
            2 => transfer.closed(),
            3 => transfer.aborted(number, String::new()),
            4 => transfer.tick(now),
            _ => transfer.acknowledged(number, now),
        }
        let Some(due) = transfer.due() else {
            assert!(transfer.ending().is_some() || transfer.deadline() <= now + Duration::from_secs(30));
            continue;
        };
        let count = match due {
            Due::Oack => 1,
            Due::Blocks { first, count } => {
                assert!(first >= 1 && count >= 1 && count <= terms.window, "{due:?}");
                assert!(first + u64::from(count) - 1 <= terms.last(), "past the end: {due:?}");
                count
            }
        };
        transfer.sent(count.min(1 + number), now);
    }
    // Left alone, it ends.
    for _ in 0..100 {
        if let Some(due) = transfer.due() {
            transfer.sent(if let Due::Blocks { count, .. } = due { count } else { 1 }, now);
        }
        now = now.max(transfer.deadline());
        transfer.tick(now);
    }
    assert!(transfer.ending().is_some(), "{transfer:?}");
}
