//! BMCs: how one is reached, what is wanted of it, and what was observed of it.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::id::Digest;
use super::secret::Secret;
use super::time::Time;
use super::words::words;

/// How to reach a host's BMC.
#[derive(Clone, Debug, PartialEq)]
pub struct BmcSpec {
    /// Which protocol it speaks.
    pub protocol: Protocol,
    /// `bmc.address`; without it the address leased to the BMC's MAC is used.
    pub address: Option<IpAddr>,
    /// The accounts that may be tried: the initial one, then that of production, if there is one. Never empty unless
    /// `protocol` is `None`.
    pub credentials: Arc<[Credential]>,
    /// `bmc.fingerprint`: the only trusted certificate (SHA-256, lower-case hex), instead of the first one seen.
    pub fingerprint: Option<Arc<str>>,
    /// How the machine is told to boot from the network.
    pub network_boot: NetworkBoot,
    /// `bmc.boot_mode`: the firmware mode to ask for.
    pub boot_mode: BootMode,
    /// Digest over address and accounts: when it changes, a new certificate may be pinned.
    pub identity: Digest,
}

impl BmcSpec {
    /// A BMC with one account, found by its MAC.
    pub fn new(protocol: Protocol, username: &str, password: Secret) -> Self {
        let id = Digest::of([username.as_bytes(), password.reveal().as_bytes()]);
        let (kind, username) = (CredentialKind::Initial, username.to_owned());
        BmcSpec {
            protocol,
            address: None,
            identity: id.clone(),
            credentials: Arc::new([Credential { kind, username, password, id }]),
            fingerprint: None,
            network_boot: NetworkBoot::default(),
            boot_mode: BootMode::default(),
        }
    }
}

words! {
    /// `bmc.protocol`, or PVC's `bmc.redfish`.
    Protocol {
        /// Not written: Redfish where the BMC has it, else IPMI. [`BmcFacts::protocol`] keeps what answered.
        Auto "auto"
        /// DMTF Redfish.
        Redfish "redfish"
        /// IPMI 2.0 over LAN.
        Ipmi "ipmi"
        /// No BMC that can be driven: people press the buttons.
        None "none"
    }
}

/// An account on a BMC.
#[derive(Clone, Debug, PartialEq)]
pub struct Credential {
    /// When it is valid.
    pub kind: CredentialKind,
    pub username: String,
    pub password: Secret,
    /// Digest of all that decides whether trying it again makes sense: address, user name, password and `cluster.run`.
    pub id: Digest,
}

words! {
    /// When an account is valid.
    CredentialKind {
        /// `bmc.username` and `bmc.password`: until the cluster is configured.
        Initial "initial"
        /// `ipmi.users.admin` of `base.yml`: PVC's playbook sets it while it runs.
        Production "production"
    }
}

words! {
    /// How a machine is told to boot from the network.
    #[derive(Default)]
    NetworkBoot {
        /// PXE: DHCP and TFTP.
        #[default]
        Pxe "pxe"
        /// UEFI HTTP boot.
        Http "http"
    }
}

words! {
    /// The firmware mode of a network boot.
    #[derive(Default)]
    BootMode {
        /// UEFI.
        #[default]
        Uefi "uefi"
        /// BIOS.
        Legacy "legacy"
        /// Whatever is set.
        AsIs "as-is"
    }
}

/// What is wanted of a machine before it is installed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prepare {
    /// How the disk to install to is chosen.
    pub disk: DiskChoice,
    /// Whether RAID volumes that stand in the way on the chosen slots may be deleted (`config.wipe: volumes`).
    pub replace_volumes: bool,
    /// BIOS attributes by name, as written. A value may be a password, so none is ever shown.
    pub bios: BTreeMap<String, Secret>,
    /// Attributes of the BMC by name, likewise.
    pub manager: BTreeMap<String, Secret>,
    /// Digest over all of it; `None` where nothing is asked. A machine prepared for another digest is not prepared.
    pub id: Option<Digest>,
}

impl Prepare {
    /// With its digest.
    pub fn new(
        disk: DiskChoice,
        replace_volumes: bool,
        bios: BTreeMap<String, Secret>,
        manager: BTreeMap<String, Secret>,
    ) -> Self {
        let bare = Prepare { disk, replace_volumes, bios, manager, id: None };
        let id = (bare != Prepare::default()).then(|| bare.digest());
        Prepare { id, ..bare }
    }

    fn digest(&self) -> Digest {
        let slots: &[String] = match &self.disk {
            DiskChoice::Named => &[],
            DiskChoice::Slot(slot) => std::slice::from_ref(slot),
            DiskChoice::Mirror(slots) => slots,
        };
        let count = |count: usize| (count as u64).to_be_bytes();
        let counts = [slots.len(), usize::from(self.replace_volumes), self.bios.len(), self.manager.len()].map(count);
        let settings = self.bios.iter().chain(&self.manager);
        let settings = settings.flat_map(|(name, value)| [name.as_bytes(), value.reveal().as_bytes()]);
        Digest::of(
            counts.iter().map(|count| &count[..]).chain(slots.iter().map(|slot| slot.as_bytes())).chain(settings),
        )
    }
}

/// How the disk to install to is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DiskChoice {
    /// The installer finds it by itself: a path or a `detect:` string is in the boot files.
    #[default]
    Named,
    /// The drive in this chassis slot.
    Slot(String),
    /// A RAID-1 of the drives in these two chassis slots.
    Mirror([String; 2]),
}

/// Result of a preparation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preparation {
    /// What was asked for ([`Prepare::id`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<Digest>,
    /// What was begun and takes effect later; `None` when everything reads back as wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// The `detect:` string of the disk in the chosen slot, or of the RAID-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// What people should know: attributes the machine does not have, an LED it lacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Something a BMC has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// What it is, for people: `BIOS settings take effect in the restart under way`.
    pub what: String,
    /// The task or job to follow, where the BMC named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// How far it is.
    #[serde(default)]
    pub stage: Stage,
}

/// Something a BMC is doing after a preparation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preparing {
    pub pending: Pending,
    pub since: Time,
    /// How many times it was begun.
    pub times: u32,
    /// When it was last looked at.
    pub looked: Time,
}

words! {
    /// How far something that a BMC has begun is.
    #[derive(Default)]
    Stage {
        /// Under way.
        #[default]
        Begun "begun"
        /// Settings are handed over; they take effect in the restart that was ordered.
        Settings "settings"
        /// Done; the next step is still to be begun.
        Next "next"
    }
}

/// What was observed of a host's BMC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BmcFacts {
    /// The protocol that answered, where the repository leaves it open.
    pub protocol: Option<Protocol>,
    /// Accounts that were refused ([`Credential::id`]): each was tried once and is not tried again.
    pub refused: BTreeSet<Digest>,
    /// The account that was accepted last.
    pub accepted: Option<Digest>,
    /// The session that is open, or was open before a crash: its URI, and the account it was opened with.
    pub session: Option<(String, Digest)>,
    /// Whether a previous run left that session open: its token is lost.
    pub left_open: bool,
    /// What the BMC is doing after a preparation.
    pub pending: Option<Preparing>,
    /// What it was last prepared for, completely ([`Prepare::id`]).
    pub prepared_as: Option<Digest>,
    /// The disk in the slots chosen there.
    pub disk: Option<String>,
    /// What people should know about this BMC, as the last preparation found.
    pub notes: Vec<String>,
    /// What is done in another way than usual, such as a network boot ordered by IPMI.
    pub fallbacks: BTreeSet<String>,
}

/// The disk in the chosen slots, as a `detect:` string, once the machine was prepared for exactly these. It goes into
/// files that shells and iPXE read, so anything but a plain `detect:` string is ignored.
pub(crate) fn chosen_disk<'f>(prepare: &Prepare, facts: &'f BmcFacts) -> Option<&'f str> {
    let disk = facts.disk.as_deref().filter(|_| facts.prepared_as == prepare.id)?;
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    (disk.starts_with("detect:") && disk.bytes().all(fine)).then_some(disk)
}
