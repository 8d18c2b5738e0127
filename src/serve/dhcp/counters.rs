//! What the DHCP server counts.

pub use crate::serve::counters::Counters as DhcpCounters;
use crate::serve::counters::Names;

/// Every counter there is: the kind of message, and what became of it.
pub const NAMES: Names = &[
    ("dhcp_discover", "offer"),
    ("dhcp_request", "ack"),
    ("dhcp_request", "nak"),
    ("dhcp_request", "other-server"),
    ("dhcp_inform", "ack"),
    ("dhcp_decline", "recorded"),
    ("dhcp_release", "recorded"),
    ("dhcp_discover", "unknown-segment"),
    ("dhcp_request", "unknown-segment"),
    ("dhcp_decline", "unknown-segment"),
    ("dhcp_release", "unknown-segment"),
    ("dhcp_inform", "unknown-segment"),
    ("dhcp_discover", "exhausted"),
    ("dhcp_request", "incomplete"),
    ("dhcp_inform", "incomplete"),
    ("dhcp_decline", "incomplete"),
    ("dhcp_decline", "not-held"),
    ("dhcp_release", "not-held"),
    ("dhcp_request", "busy"),
    ("dhcp_decline", "busy"),
    ("dhcp_release", "busy"),
    ("dhcp_datagram", "too-short"),
    ("dhcp_datagram", "too-long"),
    ("dhcp_datagram", "unknown-op"),
    ("dhcp_datagram", "not-ethernet"),
    ("dhcp_datagram", "bad-mac"),
    ("dhcp_datagram", "no-cookie"),
    ("dhcp_datagram", "bad-type"),
    ("dhcp_datagram", "bad-option"),
    ("dhcp_datagram", "foreign-answer"),
    ("dhcp_reply", "unsendable"),
    ("dhcp_other", "other"),
];
