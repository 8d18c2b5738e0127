//! What the DHCP server counts.

pub use crate::serve::counters::Counters as DhcpCounters;
use crate::serve::counters::Names;

/// Every counter there is: the kind of message, and what became of it.
pub const NAMES: Names = &[
    ("discover", "offer"),
    ("request", "ack"),
    ("request", "nak"),
    ("request", "other-server"),
    ("inform", "ack"),
    ("decline", "recorded"),
    ("release", "recorded"),
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
