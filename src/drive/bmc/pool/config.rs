//! How the daemon's BMCs are reached, and how much is asked of them at most.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::drive::JournalFact;
use crate::drive::bmc::transport::Transport;
use crate::model::HostId;
use crate::settings::BmcTls;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Operations at once, over all BMCs.
    pub at_once: usize,
    /// Operations that may wait for one BMC.
    pub queue: usize,
    /// How long one of them waits until it may begin.
    pub wait: Duration,
    /// From the end of one operation on a BMC to the beginning of the next: some answer nothing after a burst of requests.
    pub pause: Duration,
    /// How long a session is kept for the next operation. Shorter than the time between two looks at what a preparation
    /// has begun: a machine that takes half an hour for its settings is free for commands by hand in between.
    pub idle: Duration,
    /// Sessions kept at once. Each is an open connection and an open lock file.
    pub kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            at_once: 32,
            queue: 8,
            wait: Duration::from_secs(45),
            pause: Duration::from_millis(200),
            idle: Duration::from_secs(20),
            kept: 64,
        }
    }
}

/// How a host's BMC at an address is reached.
pub type ChooseTransport = dyn Fn(&HostId, IpAddr) -> Transport + Send + Sync;

pub struct PoolConfig {
    pub tls: BmcTls,
    pub port: u16,
    pub ipmi_port: u16,
    pub limits: Limits,
    /// Where the lock files are; without it no other process is locked out.
    pub state_dir: Option<PathBuf>,
    pub transport: Box<ChooseTransport>,
}

impl PoolConfig {
    /// Over the network, at the usual ports.
    pub fn new(tls: BmcTls) -> Self {
        let transport = Box::new(|_: &HostId, _| Transport::Network);
        PoolConfig { tls, port: 443, ipmi_port: 623, limits: Limits::default(), state_dir: None, transport }
    }
}

/// What operations and whoever closes idle sessions share.
pub(super) struct Shared {
    pub config: PoolConfig,
    pub journal: JournalFact,
    /// For operations under way.
    pub slots: Semaphore,
    /// For sessions that are kept.
    pub places: Arc<Semaphore>,
}
