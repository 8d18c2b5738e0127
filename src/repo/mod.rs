//! Floor 2: desired state in. Pure over a tree of bytes. Imports `model`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Desired, Finding, Revision, Subnet};

/// The files of one revision: path (with `/`) -> entry. Made by `drive::git` from Git objects, or from a directory.
pub type Tree = BTreeMap<String, Entry>;

/// An entry of a [`Tree`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A regular file.
    File(Arc<[u8]>),
    /// A symbolic link and its target. Followed only inside the tree.
    Link(String),
    /// A submodule: not looked into.
    Submodule,
}

/// What a repository is checked against besides itself; from the settings and the revision in force.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// `http://<address>:<port>`.
    pub http_base: String,
    /// What machines are told as next-server.
    pub address: std::net::Ipv4Addr,
    /// The segments that are served.
    pub subnets: &'a [Subnet],
    /// `deploy.username`.
    pub deploy_username: String,
    /// `debian.mirror`.
    pub mirror: String,
    /// `debian.release`.
    pub release: String,
    /// The revision in force, against which a lowered generation is an error.
    pub previous: Option<&'a Desired>,
    /// The commit that is being read.
    pub revision: Option<Revision>,
}

/// What came out of reading a repository.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The whole revision; `None` when there is an error among the findings: never half of it.
    pub desired: Option<Desired>,
    /// Everything found, sorted by place.
    pub findings: Vec<Finding>,
}

/// Reads, checks and renders a whole repository.
pub fn load(_tree: &Tree, _context: &Context<'_>) -> Loaded {
    Loaded { desired: None, findings: Vec::new() }
}
