//! Floor 3: we call machines. A driver performs one action and reports one fact; it never decides and never retries.

pub mod bmc;
pub mod git;
pub mod hook;
pub mod http;
pub mod notify;
pub mod process;
