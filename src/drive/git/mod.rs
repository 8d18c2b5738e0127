//! The repository: a bare mirror under the state directory, read and written with `gix`; the `git` program carries
//! objects over the network.
//!
//! * `command`: how `git` is called; `error`: what its failures mean.
//! * `remote`: [`Git`], one call to the remote at a time.
//! * `mirror`: the bare repository and its refs; `tree`: reading a revision; `commit`: building a status commit.
//! * `writeback`: committing files that playbooks made to the watched branch; `graft`: putting them into its tree; `seal`:
//!   encrypting them.
//! * `publish`: bringing the status branch up to date, without ever overwriting a foreign commit; `rehearse`: whether
//!   that would be allowed.
//! * `checkout`: a revision's files on disk, with submodules.
//! * `local`: reading a person's own repository, for the command line.
//! * `watch`: noticing pushes to a repository on this machine.

mod checkout;
mod command;
mod commit;
mod error;
mod graft;
mod local;
mod mirror;
mod publish;
mod rehearse;
mod remote;
mod seal;
mod tree;
mod watch;
mod writeback;

pub use self::commit::AUTHOR;
pub use self::error::GitError;
pub use self::local::Local;
pub use self::rehearse::Reach;
pub use self::remote::Git;
pub use self::seal::Seal;
pub use self::tree::Snapshot;
pub(crate) use self::watch::local_path;
pub use self::watch::{Watcher, watch};
pub use self::writeback::WriteBack;
