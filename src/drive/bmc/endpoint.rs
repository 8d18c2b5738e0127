//! Which BMC is spoken to, with which account, and how long it is waited for.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::lock::BmcLock;
use super::transport::Transport;
use crate::model::{Digest, Fault, HostFacts, HostId, HostSpec, Protocol, Reason, Secret};
use crate::plan;
use crate::settings::BmcTls;

/// One BMC: where it is, which account is used, and how its certificate is checked.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Whose BMC, for messages.
    pub host: HostId,
    pub address: IpAddr,
    /// HTTPS port, 443 on real hardware.
    pub port: u16,
    /// IPMI's UDP port, 623 on real hardware.
    pub ipmi_port: u16,
    /// What it is spoken to in. With `Auto` Redfish is tried first.
    pub protocol: Protocol,
    /// With `Auto`: when IPMI is used instead.
    pub ipmi_after: IpmiAfter,
    pub username: String,
    pub password: Secret,
    /// The account's [`Credential::id`](crate::model::Credential::id).
    pub account: Digest,
    pub tls: Tls,
    pub timeouts: Timeouts,
    pub transport: Transport,
    /// The session that the journal says is open, or was before a crash: its URI.
    pub journaled: Option<String>,
    /// Where the daemon keeps its state, and the lock files with it. Without one there is nobody to lock out.
    pub state_dir: Option<PathBuf>,
}

impl Endpoint {
    /// A BMC at this address with this account, and everything else as usual: Redfish or IPMI on their ports, the first
    /// certificate is trusted.
    pub fn new(host: HostId, address: IpAddr, username: &str, password: Secret) -> Self {
        Endpoint {
            host,
            address,
            port: 443,
            ipmi_port: 623,
            protocol: Protocol::Auto,
            ipmi_after: IpmiAfter::default(),
            username: username.to_owned(),
            account: Digest::of([username.as_bytes(), password.reveal().as_bytes()]),
            password,
            tls: Tls::Pin(None),
            timeouts: Timeouts::default(),
            transport: Transport::Network,
            journaled: None,
            state_dir: None,
        }
    }

    /// A host's BMC, as the repository and what was observed say; the same for the daemon and for commands by hand.
    pub fn of(spec: &HostSpec, facts: &HostFacts, tls: &BmcTls) -> Result<Self, Fault> {
        if !spec.has_bmc() {
            return Err(Fault::operator(Reason::NoBmc, format!("{} has no BMC in the repository", spec.id)));
        }
        let address = plan::bmc::address(spec, facts).ok_or_else(|| {
            let message = format!("the BMC of {} has not asked for an address yet", spec.id);
            Fault::transient(Reason::NoAddress, format!("{message}: check power and cabling, or set bmc.address"))
        })?;
        let account = plan::bmc::credential(spec, facts)
            .ok_or_else(|| Fault::operator(Reason::AuthenticationFailed, plan::bmc::all_refused(spec)))?;
        Ok(Endpoint {
            protocol: plan::bmc::protocol(spec, facts),
            account: account.id.clone(),
            tls: match tls {
                BmcTls::Pin => Tls::Pin(plan::bmc::pin(spec, facts)),
                BmcTls::Ca(file) => Tls::Ca(file.clone()),
                BmcTls::Insecure => Tls::Insecure,
            },
            journaled: facts.bmc.session.as_ref().map(|(uri, _)| uri.clone()),
            ..Endpoint::new(spec.id.clone(), address, &account.username, account.password.clone())
        })
    }

    pub(super) fn who(&self) -> String {
        format!("the BMC of {} at {}", self.host, self.address)
    }

    /// Waits for the right to speak to it, at most so long.
    pub(super) async fn lock(&self, wait: Duration) -> Result<Option<BmcLock>, Fault> {
        match &self.state_dir {
            Some(dir) => BmcLock::take(dir, self.address, wait).await.map(Some),
            None => Ok(None),
        }
    }

    /// Runs the work of one action within its time limit.
    pub(super) async fn within<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let limit = self.timeouts.action;
        let too_slow = || {
            let message = format!("{} was not done within {} s", self.who(), limit.as_secs());
            Fault::transient(Reason::BmcTooSlow, message)
        };
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(too_slow()))
    }
}

/// After what IPMI is used, where the repository leaves open what the BMC speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum IpmiAfter {
    /// Something answers, and it is not Redfish over TLS.
    #[default]
    OtherService,
    /// Also when the HTTPS port refuses connections: it has done so for a while, so that the BMC is not just starting.
    Refusal,
    /// Also when nothing answers over HTTPS: an operator waits, and asks once.
    Silence,
}

/// How a BMC's certificate is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Exactly the certificate with this SHA-256 fingerprint (hex); without one, whatever is shown first.
    Pin(Option<String>),
    /// Signed by the authority in this PEM file, for the BMC's address.
    Ca(PathBuf),
    Insecure,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub request: Duration,
    pub action: Duration,
    pub power: Duration,
    /// For a graceful shutdown, before power is cut.
    pub graceful: Duration,
    /// Between two looks at the power state.
    pub poll: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Timeouts { request: secs(15), action: secs(120), power: secs(40), graceful: secs(60), poll: secs(2) }
    }
}

/// Looks at a boot override that was just set, before it counts as not kept.
pub(super) const READBACKS: u32 = 3;
