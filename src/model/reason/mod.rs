//! The closed list of reasons: one PascalCase word for why something waits, is stalled or failed, as in GitOps
//! conditions. The table below is the only place where such a word is written; `explain`, the page, the API's schema
//! and the reference page are made from it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::words::words;

mod advice;

words! {
    /// What happens next where a [`Reason`] is shown.
    ReasonClass {
        /// Nothing is left to do.
        Ready "ready"
        /// Something is under way or waited for. Nobody has to act.
        Progress "progress"
        /// The plan waits for a person, or has waited longer than it should.
        Stalled "stalled"
        /// An action failed and may succeed by itself: tried again with growing pauses.
        Transient "transient"
        /// The other side refuses: tried again, at the slowest pace only.
        Permanent "permanent"
        /// A person must change something first; not tried again before that.
        Operator "operator"
        /// One of the three classes of failures; the status says when it is tried again.
        Varies "varies"
    }
}

/// A word that no [`Reason`] has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a reason; `rackwright explain` and the reference page of reasons know them all")]
pub struct NoReason(String);

macro_rules! reasons {
    ($($word:ident $class:ident $meaning:literal)+) => {
        /// Why something waits, is stalled or failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
        pub enum Reason {
            $(#[doc = $meaning] $word,)+
        }

        impl Reason {
            /// Every reason, in the order of the reference page.
            pub const ALL: &'static [Reason] = &[$(Reason::$word,)+];

            /// The word shown.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$word => stringify!($word),)+
                }
            }

            /// What happened, in a line.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Reason::$word => $meaning,)+
                }
            }

            /// What happens next.
            pub const fn class(self) -> ReasonClass {
                match self {
                    $(Reason::$word => ReasonClass::$class,)+
                }
            }
        }
    };
}

reasons! {
    // The plan.
    Done                    Ready     "Nothing is left to do."
    Removed                 Ready     "The host left the repository. It is left alone; its record is kept."
    NotSeen                 Stalled   "The BMC, or a machine without BMC, has not asked for an address yet."
    Probing                 Progress  "The BMC is asked what the machine is."
    Preparing               Progress  "The machine is prepared for its install: LED, disks, BIOS and BMC settings."
    Announcing              Progress  "The status branch must announce an install or task before it begins."
    StatusBranchUnreachable Stalled   "An install or task must be announced first, but the status branch was not pushed."
    FetchingImages          Progress  "An image of the host's installer is being fetched and verified."
    InstallSlots            Progress  "As many machines are being installed as limits.concurrent_installs allows."
    BmcSlots                Transient "As many BMCs are being spoken to as bmc.concurrency allows."
    BmcInUse                Transient "Another action, or a command by hand, is speaking to this BMC."
    Arming                  Progress  "The BMC is told to boot the machine from the network once."
    NetworkBoot             Progress  "The machine is to boot from the network and claim its install."
    NetworkBootOverdue      Stalled   "The machine was told to boot from the network, and its installer never came."
    PowerOnByHand           Stalled   "A machine without BMC is ready to be installed and was not restarted yet."
    Installing              Progress  "The installer is at work."
    InstallOverdue          Stalled   "The installer of a machine without BMC has not been heard of for too long."
    FirstBoot               Progress  "Installed. The first boot of the installed system is awaited."
    FirstBootOverdue        Stalled   "Installed, but the installed system has not reported its first boot."
    PowerCycling            Progress  "The machine is restarted because its first boot is overdue."
    Peers                   Progress  "Other hosts of the cluster are not up yet."
    PeersMissing            Stalled   "Other hosts of the cluster have not come up for a long time."
    Finishing               Progress  "The LED is switched off and, if asked for, the machine is powered off."
    Releasing               Progress  "A BMC session that a previous run left open is being ended."
    Acting                  Progress  "An action on the host is under way."
    Retrying                Progress  "An action failed and is tried again soon; the message says why it failed."
    GenerationLowered       Stalled   "The repository asks for a lower generation than the one that is installed."
    FirstRun                Stalled   "The journal is empty and there is no status branch: nothing is installed."
    JournalLost             Operator  "The journal was lost during an install or before a task; its outcome is unknown."
    SecretMissing           Operator  "A secret that the host or its cluster needs cannot be read."
    NoSuchHost              Permanent "The host left the repository while an action on it was about to begin."
    NoSuchCluster           Permanent "The cluster left the repository while an action on it was about to begin."
    NoSuchTask              Permanent "The task left the repository while it was about to begin."
    NoSuchImage             Permanent "The image left the repository while it was about to be fetched."
    DriverFailed            Transient "A part of rackwright stopped in the middle of an action: a bug in rackwright."
    StateDirUnusable        Transient "A file below state_dir cannot be made, locked or written."
    Unknown                 Varies    "Another version of rackwright wrote this; the message begins with its word."

    // BMCs: reaching them and logging in.
    NoBmc                   Varies    "The host has no BMC in the repository (bmc.protocol: none)."
    NoAddress               Varies    "The address is not known: of the BMC, or of a host that is to be reached over SSH."
    Unreachable             Transient "The BMC, forge or server that the message names does not answer."
    ConnectionRefused       Transient "Something answers at the BMC's address, but nothing listens at the Redfish port."
    AuthenticationFailed    Operator  "The BMC, or the forge, refused the account or key."
    Forbidden               Permanent "The BMC accepted the account but does not allow it to do this (HTTP 403)."
    InsufficientPrivilege   Operator  "The account is not an administrator over IPMI."
    TooManySessions         Transient "The BMC's table of sessions is full."
    SessionLost             Transient "The BMC ended the session early. A new one is opened."
    CertificateChanged      Operator  "The BMC shows another certificate than the trusted one. No password was sent."
    TlsFailed               Permanent "The BMC's TLS certificate is not acceptable, or its TLS is broken."
    TlsTooOld               Permanent "The BMC speaks only TLS versions or certificates that are no longer safe."
    TlsUnsupported          Permanent "A TLS connection to the BMC cannot be set up on this machine."
    NoTls                   Permanent "What listens at the BMC's Redfish port does not speak TLS."
    BadCertificateAuthority Operator  "The file that bmc.tls names in the settings cannot be read as a PEM certificate."
    NotRedfish              Permanent "There is no Redfish service at the BMC's address."
    NotIpmi20               Permanent "The BMC does not speak IPMI 2.0 (RMCP+)."
    CipherSuiteRefused      Permanent "The BMC accepts neither IPMI cipher suite 17 nor 3."
    PasswordTooLong         Operator  "The password is longer than the 20 bytes that IPMI allows."
    ProgramMissing          Operator  "The program ipmitool is not installed."
    ProgramFailed           Transient "The program ipmitool could not be run."

    // BMCs: what they answer and do.
    BmcBusy                 Transient "The BMC asks to be tried again later."
    BmcNotReady             Transient "The BMC's web server answers, but its Redfish service does not yet."
    BmcTooSlow              Transient "The BMC took longer than the time limit of one action."
    BmcError                Transient "The BMC answered with an internal error (HTTP 5xx)."
    BmcNonsense             Permanent "The BMC's answer is malformed or too large."
    BmcRefused              Permanent "The BMC refused the request; its own words are in the message."
    IpmiError               Transient "An IPMI command failed, and the BMC gave no reason."
    IpmiRefused             Permanent "The BMC refused an IPMI command; its own words are in the message."
    NotPossibleOverIpmi     Operator  "The repository asks for what IPMI cannot do: disks by slot, RAID, settings."
    NoSystem                Permanent "The BMC lists no machine behind it."
    SeveralSystems          Permanent "The BMC manages several machines, and nothing says which one is meant."
    NoBootMac               Permanent "Neither the repository nor the BMC names a network interface of the machine."
    BootOverrideNotKept     Transient "The BMC accepted a boot override, but it does not read back."
    PxeNotSupported         Permanent "The BMC cannot order a network boot."
    HttpBootNotSupported    Operator  "UEFI HTTP boot was asked for, which IPMI cannot order."
    BootTargetNotSupported  Permanent "The BMC cannot order a boot from this device."
    ResetNotSupported       Permanent "The BMC cannot switch or restart the machine."
    PowerStateNotReached    Transient "The BMC accepted a power command, but the machine did not switch."
    StillOn                 Transient "The operating system was asked to shut down and is still running."
    MachineIsOff            Permanent "The command needs a running machine, and the machine is off."
    OutcomeUnknown          Varies    "Contact was lost during an action, which may or may not have taken effect."

    // Disks, RAID, BIOS and BMC settings.
    ForeignVolume           Operator  "A RAID volume that rackwright did not make is on the chosen slots."
    RaidNotSupported        Permanent "No RAID-1 can be made of the chosen slots over Redfish."
    NoDriveInSlot           Permanent "A chosen slot holds no drive."
    SlotNotUnique           Operator  "Several drives are in slots with the chosen number."
    DiskNotNamed            Permanent "The BMC tells no model or size of the chosen disk: no installer can find it."
    VolumeNotThere          Transient "The BMC accepted the RAID changes, but its volumes are unchanged."
    StorageUnreadable       Transient "Not all drives and volumes could be read, so none is chosen."
    SettingsNotValid        Operator  "A BIOS or BMC setting has a value of the wrong type."
    SettingsRefused         Varies    "The BMC refused BIOS or BMC settings; its own words are in the message."
    SettingsNotKept         Transient "The BMC accepted BIOS settings, but they do not read back."
    SettingsReverted        Permanent "The BMC's job for the BIOS settings ended, but the settings are unchanged."
    SettingsOverdue         Stalled   "A change of disks or settings has not come into effect in time."
    BmcTaskFailed           Varies    "A task or job of the BMC failed; its own words are in the message."

    // Images of installers.
    DigestDiffers           Operator  "An image's SHA-256 is not the one in its manifest."
    SignatureWrong          Operator  "The vendor's signature of an image does not hold."
    NotInSums               Operator  "The vendor's signed list of checksums does not name the image."
    NoKeyring               Operator  "The keyring to check signatures with cannot be read."
    GpgvMissing             Operator  "The program gpgv is not installed."
    GpgvFailed              Transient "The program gpgv could not be run."
    TooLarge                Operator  "An image is larger than the limit in the message."
    NoStaticRoot            Operator  "An image is a path below network.tftp.root, which is not set."
    NotFound                Permanent "An image is not readable below network.tftp.root."
    ImageStore              Transient "The image store below state_dir cannot be written or read."

    // HTTP: images, notifications, commit statuses.
    InvalidRequest          Operator  "An address or method in the settings or the repository is not valid for HTTP."
    Refused                 Permanent "An HTTP server refused the request (4xx); its answer is in the message."
    Redirected              Permanent "An HTTP server redirects where rackwright does not follow."
    ServerError             Transient "An HTTP server answered with an error of its own (5xx)."
    Timeout                 Transient "An HTTP server did not answer in time."
    BrokenAnswer            Transient "The connection to an HTTP server broke before the answer was complete."
    TryAgain                Transient "A hook (exit status 75) or HTTP server (408, 429) asks to be tried again later."
    NoHttpClient            Transient "The HTTP client cannot be set up on this machine."
    SecretUnreadable        Operator  "A file that holds a token or password cannot be read, or is empty."
    TokenUnusable           Operator  "The token in commit_status.token_file has characters that HTTP does not allow."

    // Git: the repository, the status branch, generated files.
    HostKeyRefused          Operator  "The forge's SSH host key is not the one in known_hosts, or is not there."
    BranchMissing           Transient "The watched branch does not exist."
    PushRace                Transient "Somebody else pushed at the same moment."
    PushRefused             Permanent "The forge refused a push; its own words are in the message."
    SigningFailed           Operator  "A commit could not be signed."
    EncryptionFailed        Operator  "Generated files could not be encrypted with ansible-vault."
    MirrorUnusable          Transient "The daemon's own copy of the repository is damaged. It is made anew."
    RevisionMissing         Permanent "A revision that is needed is no longer in the repository."
    TreeTooLarge            Permanent "A revision is larger than rackwright reads; the limit is in the message."
    GitMissing              Permanent "The program git is not installed."
    GitFailed               Transient "The program git could not be run."
    StatusUnreadable        Permanent "The files on the status branch cannot be read as status files."
    LoadFailed              Permanent "Reading a revision stopped: a bug in rackwright."
    ReportFailed            Permanent "Making the status files stopped: a bug in rackwright."
    GeneratedFiles          Progress  "Files that a playbook made are being pushed to the watched branch and read back."
    GeneratedFilesUnread    Stalled   "Files that a playbook made are pushed, but the watched head is refused."
    GeneratedFilesLost      Operator  "The kept copy of files that a playbook made is missing or damaged."
    GeneratedNotKept        Operator  "The playbook succeeded, but the files that it made could not be kept."
    WriteBackConflict       Operator  "Somebody else changed the same generated files on the watched branch."
    WriteBackBlocked        Operator  "Generated files cannot be committed to the watched branch; the message says why."

    // SSH to hosts.
    Reaching                Progress  "The host is being reached over SSH."
    SshUnreachable          Transient "The host does not answer over SSH."
    SshLost                 Transient "The SSH connection broke."
    SshTimedOut             Transient "A command on the host did not end in time."
    SshDenied               Operator  "The host's SSH server refuses a session or a command."
    SshRefused              Operator  "The host does not accept deploy.ssh_key for deploy.username."
    SshNoHostKey            Operator  "The host's SSH server has no ed25519 or ECDSA host key."
    SshKeyUnusable          Operator  "deploy.ssh_key cannot be read, has a passphrase, or is of a kind not supported."
    SshFile                 Transient "A file could not be written on the host."
    NoBootId                Transient "The host does not say which boot it is in (/proc/sys/kernel/random/boot_id)."
    NoDeployKey             Operator  "The settings name no deploy.ssh_key, which this task needs."
    HostKeyChanged          Operator  "The host shows another SSH host key than before in this install."
    HostKeyUnusable         Operator  "The recorded host key of the host cannot be read."
    NoHostKey               Varies    "No SSH host key of the host is known yet."
    PowerOffRefused         Permanent "A host without BMC did not power off when asked over SSH."
    Restart                 Progress  "The hosts are configured; their restart is awaited."
    RestartNotSeen          Stalled   "The playbook succeeded, but a restart that belongs to it was not seen."

    // Tasks: playbooks and hooks.
    TaskRunning             Progress  "A task of the cluster is running."
    Blocked                 Stalled   "A task cannot be run as it is written, or its secret cannot be read."
    Interrupted             Varies    "rackwright was restarted while the task ran; how far it came is not known."
    NoTargets               Permanent "The hosts that the hook is for left the repository."
    NoRevision              Transient "No revision of the repository is in force."
    PlaybookMissing         Operator  "The playbook is not in the repository or its submodules."
    CheckoutFailed          Transient "The revision could not be checked out below state_dir."
    SubmoduleMissing        Transient "A submodule that the playbook needs could not be fetched."
    AnsibleMissing          Transient "The program ansible-playbook is not installed or could not be started."
    AnsibleFailed           Operator  "The playbook failed; its first error is in the message."
    AnsibleTimedOut         Operator  "The playbook ran longer than ansible.timeout and was stopped."
    HookFailed              Varies    "The hook's program failed; its last lines are in the message."
    HookTimedOut            Varies    "The hook's program ran longer than its time limit and was stopped."
    HookNotStarted          Permanent "The hook's program could not be started on the bootstrap host."
    NotReady                Transient "The hook has not begun: the service that it needs does not answer yet."
    SudoRefused             Permanent "deploy.username may not use sudo without a password on the host."
    FileUnreadable          Permanent "A file on the bootstrap host that the hook is given cannot be read."
    NoDirectory             Transient "No directory for the hook's files could be made."
    NoLog                   Transient "The task's log below state_dir could not be made."
}

/// Words that 0.1.0 wrote and nothing makes any more, and what they are read as.
const FORMER: [(&str, Reason); 2] = [("TaskFailed", Reason::AnsibleFailed), ("NotForBmcs", Reason::DriverFailed)];

impl Reason {
    /// What a person can do: a command, a key to change, or that there is nothing to do.
    pub const fn advice(self) -> &'static str {
        advice::of(self)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = NoReason;

    fn from_str(word: &str) -> Result<Self, NoReason> {
        let known = Reason::ALL.iter().map(|reason| (reason.as_str(), *reason)).chain(FORMER);
        let known = known.into_iter().find_map(|(name, reason)| (name == word).then_some(reason));
        known.ok_or_else(|| NoReason(word.to_owned()))
    }
}

/// By its word, so that a fingerprint that was journaled outlives a change of the table's order.
impl Hash for Reason {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// A word of another version is [`Reason::Unknown`]: a journal must stay readable. ([`Fault`](super::Fault) keeps the
/// word in its message.)
impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(word.parse().unwrap_or(Reason::Unknown))
    }
}
