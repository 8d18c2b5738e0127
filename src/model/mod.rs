//! Floor 0: the nouns. Plain data that every other floor speaks in.
//!
//! Nothing here does I/O, reads a clock or awaits; time, randomness and identity always arrive as arguments.
//!
//! * [`id`]: names and numbers things are known by (MAC, cluster, host, revision, generation, token).
//! * [`time`]: one instant type, passed in.
//! * [`secret`]: values that must never be printed.
//! * [`policy`]: the part of the settings that decisions need.
//! * [`desired`]: what the repository wants, already validated and rendered.
//! * [`observed`]: the `World`: facts, and nothing but facts; [`work`]: what is under way, and what failed last.
//! * [`inventory`], [`lease`], [`moves`]: parts of it.
//! * [`bmc`]: how BMCs are reached, what is wanted of them, what was observed of them.
//! * [`task`]: what is run once machines are up, and how it went.
//! * [`event`]: the closed list of facts that can arrive.
//! * [`action`]: the closed list of things rackwright can do.
//! * [`reason`]: the closed list of words for why something waits, is stalled or failed.
//! * [`status`]: what people are told: the files on the status branch.
//! * [`fault`]: why an action failed, classed by what happens next; findings about a repository.

pub mod action;
pub mod bmc;
pub mod desired;
pub mod event;
pub mod fault;
pub mod id;
pub mod image;
pub mod inventory;
pub mod lease;
pub mod moves;
mod notice;
pub mod observed;
pub mod policy;
pub mod reason;
pub mod secret;
pub mod state;
pub mod status;
pub mod task;
mod text;
pub mod time;
pub(crate) mod words;
pub mod work;

pub use action::{Action, ActionKind, TaskIntent};
pub use bmc::{
    BmcFacts, BmcSpec, BootMode, Credential, CredentialKind, DiskChoice, NetworkBoot, Pending, Preparation, Prepare,
    Preparing, Protocol, Stage,
};
pub use desired::{BootFile, ClaimBy, ClusterSpec, Desired, HostSpec, Lifecycle, LocalBoot, MacRole, OnComplete};
pub use event::{CheckIn, CheckInAction, Event, Fetched, LeaseOrigin, Outcome, Verdict};
pub use fault::{Fault, FaultClass, Finding, Severity};
pub use id::{ClusterName, Digest, Generation, HostId, Mac, Revision, TaskId, Token, TokenId};
pub use image::{ImageSource, ImageSpec, ImageStamp, Keyring, SignatureSpec};
pub use inventory::{Cpus, Drive, Inventory, Nic, PowerState, Volume, size};
pub use lease::{Lease, Leases};
pub use moves::{Change, HeadState, Move, MoveKind, Moves};
pub use notice::{ConditionChange, Notice, NoticeFacts, NoticeKind, Receiver, ReceiverFacts, Stalled};
pub use observed::{
    Armed, Claim, ClusterFacts, Consent, Facts, GitFacts, HostFacts, Installed, OfInstall, Rejected, Snapshot, Tries,
    Unclaimed, World,
};
pub use policy::{Policy, Site, Subnet};
pub use reason::{Reason, ReasonClass};
pub use secret::Secret;
pub use state::{ClusterState, ConditionStatus, HostState, TaskResult};
pub use status::StatusBranch;
pub use task::{
    Announced, AnsibleTask, CommitState, CommitStatus, ForgeTold, Generated, HookFile, HookProgram, HookTask,
    OnFailure, Place, Progress, Rerun, Scope, SshFacts, TaskFailure, TaskKind, TaskNews, TaskRecord, TaskSpec,
};
pub use text::{some, span};
pub use time::{Stamp, Time};
pub use work::{Doing, Failure, Lane, Lanes, Work};
