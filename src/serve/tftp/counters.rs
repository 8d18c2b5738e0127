//! What the TFTP server counts.

pub use crate::serve::counters::Counters as TftpCounters;
use crate::serve::counters::Names;

/// Every counter there is: the request, and what became of it.
pub const NAMES: Names = &[
    ("read", "boot-file"),
    ("read", "boot-script"),
    ("read", "keys"),
    ("read", "static"),
    ("read", "claim"),
    ("read", "not-found"),
    ("read", "refused"),
    ("read", "busy"),
    ("claim", "granted"),
    ("claim", "repeated"),
    ("claim", "refused"),
    ("claim", "busy"),
    ("write", "refused"),
    ("other", "other"),
];
