//! `cluster:` of a `bootstrap.yml`: how the cluster is installed and configured.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Tree;
use super::file::KEYS;
use super::installer::Installers;
use super::read::{Fields, Reader};
use super::tree::{self, Found};
use super::vars::Scope;
use crate::model::{
    AnsibleTask, ClusterName, Digest, HostId, OnComplete, OnFailure, Rerun, TaskId, TaskKind, TaskSpec,
};
use crate::yaml::word::did_you_mean;
use crate::yaml::{self, Node, Place, Plain};

/// `cluster:`, with its defaults.
pub struct Block {
    /// Installer's name, known or not.
    pub installer: String,
    /// Default generation, and where it is written, if it is.
    pub generation: (u32, Option<Place>),
    /// The playbook and where it is written, if it is.
    pub playbook: Option<(String, Option<Place>)>,
    pub reboots: Option<bool>,
    pub encrypt_generated: bool,
    pub run: u32,
    pub on_complete: OnComplete,
    pub retries: u32,
}

impl Block {
    /// Reads it; what is wrong has its default.
    pub fn read(reader: &mut Reader<'_>, fields: Option<&Fields<'_>>, installers: &Installers, tree: &Tree) -> Block {
        let mut block = Block {
            installer: "pvc".into(),
            generation: (1, None),
            playbook: None,
            reboots: None,
            encrypt_generated: false,
            run: 1,
            on_complete: OnComplete::PowerOff,
            retries: 3,
        };
        let get = |key: &str| fields.and_then(|fields| fields.get(key));
        if let Some(node) = get("installer")
            && let Some(name) = reader.line(node, "cluster.installer")
        {
            if !installers.contains_key(&name) {
                let known = installers.keys().map(String::as_str);
                let hint = did_you_mean(&name, known, || "a directory under installers/, or a shipped one: pvc");
                reader.error(node.place, "unknown-installer", format!("there is no installer `{name}`"), &hint);
            }
            block.installer = name;
        }
        let mut number = |key: &str, min: u64, max: u64, default: u32| {
            let node = get(key)?;
            let value = reader.number(node, &format!("cluster.{key}"), min, max);
            Some((value.map_or(default, |value| value as u32), node.place))
        };
        if let Some((value, place)) = number("generation", 1, u32::MAX.into(), 1) {
            block.generation = (value, Some(place));
        }
        block.run = number("run", 1, u32::MAX.into(), 1).map_or(1, |(value, _)| value);
        block.retries = number("retries", 0, 100, 3).map_or(3, |(value, _)| value);
        let on_complete =
            get("on_complete").and_then(|node| reader.choice(node, "cluster.on_complete", &OnComplete::WORDS));
        block.on_complete = on_complete.unwrap_or(OnComplete::PowerOff);
        block.playbook = match fields.and_then(|fields| Some((fields.raw("ansible")?, fields.place_of("ansible")))) {
            None => (block.installer == "pvc").then(|| ("pvc.yml".to_string(), None)),
            Some((node, place)) => block.playbook(reader, node, place, tree).map(|path| (path, Some(place))),
        };
        block
    }

    /// The configuration task.
    pub fn ansible(&self, cluster: &ClusterName, names: &BTreeSet<String>, scope: &Arc<Scope>) -> Option<TaskSpec> {
        let (path, _) = self.playbook.as_ref()?;
        let targets: BTreeSet<HostId> = names.iter().map(|name| HostId::new(cluster, name)).collect();
        Some(TaskSpec {
            id: TaskId::new("ansible"),
            name: "ansible".into(),
            kind: TaskKind::Ansible(AnsibleTask {
                playbook: path.clone(),
                reboots: self.reboots.unwrap_or(self.installer == "pvc"),
                order: order(&targets, scope),
                generated: format!("files/{}", group(scope).unwrap_or_else(|| cluster.to_string())),
                encrypt_generated: self.encrypt_generated,
            }),
            targets,
            idempotent: false,
            rerun: Rerun::OnReinstall,
            on_failure: OnFailure::Stop,
            time_limit: None,
            definition: Digest::of([b"ansible".as_slice(), path.as_bytes()]),
            blocked: None,
        })
    }

    fn playbook(&mut self, reader: &mut Reader<'_>, node: &Node, place: Place, tree: &Tree) -> Option<String> {
        let hint = "write `ansible: none`, or `ansible: { playbook: pvc.yml }`";
        match node.scalar() {
            Some(("none", _)) => return None,
            Some((text, _)) => {
                let message = format!("`cluster.ansible` must be `none` or name a playbook, not `{text}`");
                reader.error(place, "unknown-value", message, hint);
                return None;
            }
            None => {}
        }
        let fields = reader.fields(node, place, "cluster.ansible", &KEYS.ansible)?;
        let mut yes =
            |key: &str| fields.get(key).and_then(|node| reader.boolean(node, &format!("cluster.ansible.{key}")));
        self.reboots = yes("reboots");
        self.encrypt_generated = yes("encrypt_generated").unwrap_or(false);
        let value = reader.need(&fields, "playbook", hint)?;
        let path = reader.line(value, "cluster.ansible.playbook")?;
        let inside = !path.starts_with('/') && !path.starts_with('-') && !path.split('/').any(|part| part == "..");
        if !inside || matches!(tree::find(tree, &path), Found::Missing | Found::Directory(_)) {
            let message = format!("there is no playbook `{path}` in the repository");
            reader.error(value.place, "missing-file", message, "a path relative to the repository's root");
        }
        Some(path)
    }
}

/// The order of the inventory: coordinators first, by `node_id`, as `pvc_nodes` has them (PVC's roles do on the first host
/// what is done once for the cluster, and only a coordinator can); then the others, by name.
fn order(targets: &BTreeSet<HostId>, scope: &Arc<Scope>) -> Vec<HostId> {
    let nodes = scope.lookup("pvc_nodes").and_then(|(_, node)| scope.resolve(node).ok());
    let text = |node: &Node, key: &str| Some(node.get(key)?.scalar()?.0.to_owned());
    let rank = |node: &Node| {
        let coordinator = text(node, "is_coordinator").is_some_and(|it| yaml::meaning(&it) == Plain::Bool(true));
        let number = text(node, "node_id").and_then(|it| it.parse().ok()).unwrap_or(u32::MAX);
        Some((text(node, "hostname")?, (!coordinator, number)))
    };
    let nodes = nodes.as_deref().and_then(Node::list).unwrap_or_default();
    let ranks: BTreeMap<String, (bool, u32)> = nodes.iter().filter_map(rank).collect();
    let mut order: Vec<HostId> = targets.iter().cloned().collect();
    order.sort_by_key(|id| ranks.get(&*id.host).copied().unwrap_or((true, u32::MAX)));
    order
}

/// `cluster_group`: what PVC's roles name the directory by that they write to.
fn group(scope: &Arc<Scope>) -> Option<String> {
    let (_, node) = scope.lookup("cluster_group")?;
    let node = scope.resolve(node).ok().filter(|node| !node.is_secret())?;
    let (name, _) = node.scalar()?;
    let shaped = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    (shaped && name.starts_with(|c: char| c.is_ascii_alphanumeric())).then(|| name.to_owned())
}
