//! The closed list of facts that can arrive. Events never cause actions: they change the World, and the World is
//! planned. All of them are journaled before they count.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::bmc::{Preparation, Protocol};
use super::desired::Desired;
use super::fault::{Fault, Finding};
use super::id::{ClusterName, Digest, HostId, Mac, Revision, TaskId, TokenId};
use super::image::ImageStamp;
use super::inventory::{Inventory, PowerState};
use super::status::StatusBranch;
use super::task::TaskNews;
use super::time::Time;
use super::words::words;

/// A fact.
#[allow(clippy::large_enum_variant, reason = "events are few and short-lived; boxes would only make matching harder")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The daemon started: the outcome of whatever was under way is unknown.
    DaemonStarted,
    /// A person started the daemon with `--first-run`: the journal is empty and there is no status branch on purpose.
    FirstRun,
    /// Something was begun. Journaled before it is.
    Started { action: Action },
    /// Something that was begun has ended.
    Ended { action: Action, result: Result<Outcome, Fault> },
    /// Somebody says that the repository has news (push webhook, file watch).
    Woken,
    /// An address was leased to a MAC. Refused when somebody else holds the address.
    Leased { mac: Mac, ip: Ipv4Addr, until: Time, by: LeaseOrigin },
    /// A lease was given back (DHCPRELEASE).
    Released { mac: Mac, ip: Ipv4Addr },
    /// A client found the address in use (DHCPDECLINE): set aside until then.
    Declined {
        mac: Mac,
        ip: Ipv4Addr,
        /// Set aside until.
        until: Time,
    },
    /// A machine's installer was given a fresh token, by reading its answer file or by a claiming check-in.
    Claimed {
        /// The boot MAC the claim was made for.
        mac: Mac,
        /// The fresh token's name.
        token: TokenId,
        /// Where the request came from.
        peer: SocketAddr,
    },
    /// A check-in (`POST /checkin/host[/<token>]`).
    CheckedIn(CheckIn),
    /// A session was opened on a host's BMC, or is closed. Journaled so that one left behind by a crash can be closed.
    BmcSession {
        host: HostId,
        /// The session's URI and the account it was opened with; nothing when it is closed.
        session: Option<(String, Digest)>,
    },
    /// Something that people should know about a host's BMC, found while an action was carried out.
    BmcNoted { host: HostId, note: String },
    /// News from a task that is running; journaled so that nothing runs twice after a crash.
    TaskTold { cluster: ClusterName, task: TaskId, news: TaskNews },
    /// The file of a verified image is not the one that was verified.
    ImageChanged {
        /// Its definition's digest.
        image: Digest,
    },
    /// Another DHCP server answered on a segment that rackwright serves.
    ForeignDhcp {
        /// Its server identifier.
        server: Ipv4Addr,
    },
    /// A client got no address because a subnet's dynamic range is used up; or the range has room again.
    RangeFull {
        subnet: Ipv4Net,
        /// Whether it is used up.
        full: bool,
    },
}

words! {
    /// Who handed out a lease.
    LeaseOrigin {
        /// Our own DHCP server.
        Own "own"
        /// Another server; told by `POST /checkin/dnsmasq`.
        Dnsmasq "dnsmasq"
    }
}

/// PVC's check-in, already parsed. Fields that were empty or absent are `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckIn {
    /// Name of the token in the URI's path.
    pub token: Option<TokenId>,
    /// What is reported.
    pub action: CheckInAction,
    /// `hostname`, short or full.
    pub hostname: Option<String>,
    /// `host_macaddr`.
    pub host_mac: Option<Mac>,
    /// `host_ipaddr`.
    pub host_ip: Option<IpAddr>,
    /// `bmc_macaddr`.
    pub bmc_mac: Option<Mac>,
    /// `bmc_ipaddr`.
    pub bmc_ip: Option<IpAddr>,
    /// `ssh_host_key`: the host's SSH public key, where the installer reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_host_key: Option<String>,
    /// Where the request came from.
    pub source: IpAddr,
}

words! {
    /// `action` of a check-in (PVC's four).
    CheckInAction {
        /// The installer runs, no disk written yet.
        InstallStart "install-start"
        /// The disk holds the new system.
        InstallComplete "install-complete"
        /// The installed system booted; configuration has not begun.
        BootInitial "system-boot_initial"
        /// The installed system booted after configuration began.
        BootConfigured "system-boot_configured"
    }
}

/// How an action that succeeded ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(
    clippy::large_enum_variant,
    reason = "outcomes are few and short-lived; most bytes of an inventory are on the heap"
)]
pub enum Outcome {
    /// Of `Adopt`: what the status branch says; `None` when there is no such branch.
    Adopted(#[serde(deserialize_with = "super::status::adopted")] Option<StatusBranch>),
    /// Of `Fetch`.
    Fetched(Fetched),
    /// Of `FetchImage`: digest and signature are right, and which file it is.
    ImageVerified(ImageStamp),
    /// Of `Publish`: the commit, or none when the bytes were the same.
    Published(Option<Revision>),
    /// Of `Probe`: what the machine is, and how its BMC was reached.
    Probed {
        /// What the machine is.
        inventory: Inventory,
        /// The certificate's fingerprint (SHA-256, hex), when TLS was spoken.
        pin: Option<String>,
        /// The protocol that answered.
        protocol: Protocol,
    },
    /// Of `Prepare`: read back as wanted, or begun.
    Prepared(Preparation),
    /// Of `Arm`: override read back, power on.
    Armed,
    /// Of `PowerCycle`.
    PowerCycled,
    /// Of `Run`: done for all that it was to be run for.
    TaskDone,
    /// Of `Run` with Ansible: done, and the files that the playbook made, kept until they are pushed.
    Configured {
        /// Digest of paths and contents; `None` when it made none.
        generated: Option<Digest>,
    },
    /// Of `Reach`.
    Reached {
        /// Its host key (OpenSSH public key), as pinned or as shown on first use.
        key: String,
        /// The boot it is in (`/proc/sys/kernel/random/boot_id`).
        boot: String,
    },
    /// Of `WriteBack`: the commit, or none when the branch has them already.
    WrittenBack(Option<Revision>),
    /// Of `TellForge`.
    ForgeTold,
    /// Of `Finish`, with the power state that was reached.
    Finished(PowerState),
    /// Of `Release`.
    Released,
    /// Of `Notify`.
    Notified,
    /// Of `Note`.
    Noted,
}

/// What a fetch found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fetched {
    /// The head is the one already known (loaded or rejected).
    Unchanged,
    /// A new valid revision. The journal keeps its id; the tree is read again from the mirror at replay.
    Loaded {
        revision: Revision,
        /// Its contents; `None` only between reading the journal and hydrating the event.
        #[serde(skip)]
        desired: Option<Arc<Desired>>,
    },
    /// A new revision that is refused.
    Rejected { revision: Revision, findings: Vec<Finding> },
}

/// What `reduce` answers to the sender of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Recorded.
    Ok,
    /// Recorded as refused, with the reason (HTTP 409; DHCPNAK).
    Refused(String),
}

impl Event {
    /// The revision whose tree must be put back into this event after reading it from the journal.
    pub fn missing_revision(&self) -> Option<&Revision> {
        match self {
            Event::Ended { result: Ok(Outcome::Fetched(Fetched::Loaded { revision, desired: None })), .. } => {
                Some(revision)
            }
            _ => None,
        }
    }

    /// Puts a tree back (see [`missing_revision`](Event::missing_revision)); does nothing to other events.
    pub fn hydrate(&mut self, tree: Arc<Desired>) {
        if let Event::Ended { result: Ok(Outcome::Fetched(Fetched::Loaded { desired, .. })), .. } = self {
            *desired = Some(tree);
        }
    }
}
