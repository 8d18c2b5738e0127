//! BMCs: each order is carried out once, and what became of it is said.
//!
//! | | |
//! |---|---|
//! | [`BmcPool`] | the daemon's way to its BMCs: one operation at a time on each, sessions kept and closed |
//! | [`manual`] | what an operator asks at the command line |
//! | [`BmcLock`] | one operation at a time on each BMC, among all processes of this machine |
//! | `protocol` | Redfish or IPMI: the one place that decides |
//! | [`redfish`] | DMTF Redfish |
//! | [`ipmi`] | IPMI 2.0, through `ipmitool` |
//! | [`Endpoint`], [`Order`] | which BMC, and what it is told |
//! | [`transport`] | HTTP and `ipmitool`, or a simulated BMC within the process |
#![allow(missing_docs, reason = "the names of fields and functions say the rest")]

mod endpoint;
pub mod ipmi;
mod lock;
pub mod manual;
mod order;
mod pool;
mod protocol;
pub mod redfish;
mod text;
pub mod transport;

pub use endpoint::{Endpoint, IpmiAfter, Timeouts, Tls};
pub use lock::BmcLock;
pub use order::Order;
pub use pool::{BmcPool, Limits, PoolConfig};
pub use transport::Transport;
