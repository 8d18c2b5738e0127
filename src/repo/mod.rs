//! Floor 2: desired state in. Pure over a tree of bytes. Imports `model` and `yaml`.
//!
//! * [`read`]: typed reading of YAML that goes on after a mistake.
//! * [`file`](mod@file): the on-disk shape, JSON Schemas, known keys.
//! * [`inventory`], [`variables`], [`vars`], [`template`]: Ansible's inventory and variables, and Jinja.
//! * [`cluster`], [`block`], [`host`], [`disk`], [`bmc`], [`hook`]: `clusters.yml` and each `bootstrap.yml`.
//! * [`installer`], `assemble`: installers and the rendering of every boot file; [`hook::directory`]: hooks likewise.
//! * [`check`]: what one host alone cannot know.
//! * [`secret`], [`vault`], [`sops`]: what opens encrypted values.
//! * [`tree`]: looking things up in a [`Tree`].
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Desired, Finding, Revision, Severity, Subnet};

pub mod account;
mod assemble;
pub mod block;
pub mod bmc;
pub mod check;
pub mod cluster;
pub mod disk;
pub mod file;
pub mod hook;
pub mod host;
pub mod image;
pub mod installer;
pub mod inventory;
pub mod read;
pub mod secret;
pub mod sops;
pub mod template;
pub mod tree;
pub mod variables;
pub mod vars;
pub mod vault;

/// The files of one revision: path (with `/`) -> entry. Made by `drive::git` from Git objects, or from a directory.
pub type Tree = BTreeMap<String, Entry>;

/// An entry of a [`Tree`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
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
    pub subnets: &'a [Subnet],
    pub deploy_username: String,
    pub mirror: String,
    pub release: String,
    /// The revision in force, against which a lowered generation is an error.
    pub previous: Option<&'a Desired>,
    /// The commit that is being read.
    pub revision: Option<Revision>,
    pub secrets: Arc<secret::Secrets>,
}

/// What came out of reading a repository.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The whole revision; `None` when there is an error among the findings: never half of it.
    pub desired: Option<Desired>,
    pub findings: Vec<Finding>,
}

/// Reads, checks and renders a whole repository.
pub fn load(tree: &Tree, context: &Context<'_>) -> Loaded {
    let mut found = Vec::new();
    let installers = installer::all(tree, &mut found);
    let hooks = hook::directory::all(tree, &mut found);
    let inventory = inventory::read(tree, &mut found);
    let clusters = cluster::Site::new(tree, context, &inventory, &installers, &hooks).clusters(&mut found);
    check::across(&clusters, context, &mut found);
    if inventory.is_empty() && clusters.iter().any(|cluster| !cluster.hosts.is_empty()) {
        let message = "the inventory is empty, so host names are not checked against it";
        let finding = Finding::warning("hosts", (0, 0), "empty-inventory", message);
        found.push(finding.hint("list each cluster's hosts under `[cluster]`"));
    }
    let (specs, hosts) = assemble::everything(clusters, &installers, context, &mut found);
    found.sort();
    found.dedup();
    let refused = found.iter().any(|finding| finding.severity == Severity::Error);
    let desired = (!refused).then(|| Desired::new(context.revision.clone(), specs, hosts, found.clone()));
    Loaded { desired, findings: found }
}
