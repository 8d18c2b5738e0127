//! What the TFTP server counts.

pub use crate::serve::counters::Counters as TftpCounters;
use crate::serve::counters::Names;

/// Every counter there is: the request and what it was answered with, and how the transfers ended.
pub const NAMES: Names = &[
    ("tftp_read", "boot-file"),
    ("tftp_read", "boot-script"),
    ("tftp_read", "keys"),
    ("tftp_read", "static"),
    ("tftp_read", "claim"),
    ("tftp_read", "not-found"),
    ("tftp_read", "refused"),
    ("tftp_read", "busy"),
    ("tftp_read", "repeated"),
    ("tftp_transfer", "completed"),
    ("tftp_transfer", "unconfirmed"),
    ("tftp_transfer", "aborted"),
    ("tftp_transfer", "timed-out"),
    ("tftp_transfer", "replaced"),
    ("tftp_transfer", "failed"),
    ("tftp_claim", "granted"),
    ("tftp_claim", "repeated"),
    ("tftp_claim", "refused"),
    ("tftp_claim", "busy"),
    ("tftp_write", "refused"),
    ("tftp_other", "malformed"),
    ("tftp_other", "stray"),
    ("tftp_other", "broadcast"),
    ("tftp_other", "other"),
];
