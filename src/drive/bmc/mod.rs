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
//!
//! What one action does inside itself (law 12), all of it within [`Timeouts::action`]:
//!
//! - It begins 200 ms after the one before on the same BMC ([`Limits::pause`]), and asks for three resources at once.
//! - It waits until a power state is reached, reads a boot override back three times, and looks five times at the task
//!   that a small change became. What takes longer is [`Pending`](crate::model::Pending), which the plan looks at again.
//! - After a refusal without effect it asks in another form: the service root with and without a slash, `If-Match` as
//!   given, strong and `*`, the boot mode together with the device and alone, the settings resource instead of the system,
//!   BIOS settings without an apply time, a RAID-1 in the words of three versions of the schema, cipher suite 3 after 17. A
//!   redirect within the BMC is followed once.
//! - A session that a previous run left open is ended with the password and, where the service wants a token, with that
//!   of the new session. Credentials are shown once for each login, and never after a refusal.
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
