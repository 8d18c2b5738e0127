//! What the TFTP server counts.

use crate::serve::counters::{Counters, Names};

/// Every counter there is: the request and what it was answered with, and how the transfers ended.
const NAMES: Names = &[
    ("read", "boot-file"),
    ("read", "boot-script"),
    ("read", "keys"),
    ("read", "static"),
    ("read", "claim"),
    ("read", "not-found"),
    ("read", "refused"),
    ("read", "busy"),
    ("read", "repeated"),
    ("transfer", "completed"),
    ("transfer", "unconfirmed"),
    ("transfer", "aborted"),
    ("transfer", "timed-out"),
    ("transfer", "replaced"),
    ("transfer", "failed"),
    ("claim", "granted"),
    ("claim", "repeated"),
    ("claim", "refused"),
    ("claim", "busy"),
    ("write", "refused"),
    ("other", "malformed"),
    ("other", "stray"),
    ("other", "broadcast"),
    ("other", "other"),
];

/// All at zero.
pub fn new() -> Counters {
    Counters::new("tftp", NAMES)
}
