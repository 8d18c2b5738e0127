//! What the DHCP server counts.

use crate::serve::counters::{Counters, Names};

/// Every counter there is: the kind of message, and what became of it.
const NAMES: Names = &[
    ("discover", "offer"),
    ("request", "ack"),
    ("request", "nak"),
    ("request", "other-server"),
    ("inform", "ack"),
    ("decline", "recorded"),
    ("release", "recorded"),
    ("discover", "not-ours"),
    ("request", "not-ours"),
    ("decline", "not-ours"),
    ("release", "not-ours"),
    ("inform", "not-ours"),
    ("discover", "no-network-boot"),
    ("request", "no-network-boot"),
    ("inform", "no-network-boot"),
    ("request", "perhaps-theirs"),
    ("request", "repeated"),
    ("decline", "repeated"),
    ("release", "repeated"),
    ("discover", "too-many-hops"),
    ("request", "too-many-hops"),
    ("discover", "bad-relay"),
    ("request", "bad-relay"),
    ("discover", "unknown-segment"),
    ("request", "unknown-segment"),
    ("decline", "unknown-segment"),
    ("release", "unknown-segment"),
    ("inform", "unknown-segment"),
    ("discover", "exhausted"),
    ("request", "incomplete"),
    ("inform", "incomplete"),
    ("decline", "incomplete"),
    ("decline", "not-held"),
    ("release", "not-held"),
    ("request", "busy"),
    ("decline", "busy"),
    ("release", "busy"),
    ("datagram", "too-short"),
    ("datagram", "too-long"),
    ("datagram", "unknown-op"),
    ("datagram", "not-ethernet"),
    ("datagram", "bad-mac"),
    ("datagram", "no-cookie"),
    ("datagram", "bad-type"),
    ("datagram", "bad-option"),
    ("datagram", "foreign-answer"),
    ("reply", "unsendable"),
    ("other", "other"),
];

/// All at zero.
pub fn new() -> Counters {
    Counters::new("dhcp", NAMES)
}
