//! SSH to installed hosts: ed25519 key, host keys pinned, every wait and every output bounded.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::model::{Fault, HostId, Outcome};

/// A host to connect to.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Which host, for messages.
    pub host: HostId,
    /// Where it is.
    pub address: IpAddr,
    /// The SSH port (22).
    pub port: u16,
    /// User name (`deploy.username`).
    pub user: String,
    /// Private key (`deploy.ssh_key`).
    pub key_file: PathBuf,
    /// The host key it must show (OpenSSH public key); `None`: whichever it shows first.
    pub host_key: Option<String>,
}

/// Connects, compares or learns the host key, and reads which boot the host is in.
pub async fn reach(target: &Target) -> Result<Outcome, Fault> {
    Err(Fault::operator("NotSupportedYet", format!("this version cannot reach {}", target.host)))
}
