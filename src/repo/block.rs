//! `cluster:` of a `bootstrap.yml`: how the cluster is installed and configured.

use std::collections::BTreeSet;

use super::Tree;
use super::file::KEYS;
use super::installer::Installers;
use super::read::{Fields, Reader, nearest};
use super::tree::{self, Found};
use super::yaml::{Node, Place};
use crate::model::{
    AnsibleTask, ClusterName, Digest, HostId, OnComplete, OnFailure, Rerun, TaskId, TaskKind, TaskSpec,
};

/// `cluster:`, with its defaults.
pub struct Block {
    /// Installer's name, known or not.
    pub installer: String,
    /// Default generation, and where it is written, if it is.
    pub generation: (u32, Option<Place>),
    /// The playbook and where it is written, if it is.
    pub playbook: Option<(String, Option<Place>)>,
    /// `run`
    pub run: u32,
    /// `on_complete`
    pub on_complete: OnComplete,
    /// `retries`
    pub retries: u32,
}

impl Block {
    /// Reads it; what is wrong has its default.
    pub fn read(reader: &mut Reader<'_>, fields: Option<&Fields<'_>>, installers: &Installers, tree: &Tree) -> Block {
        let mut block = Block {
            installer: "pvc".into(),
            generation: (1, None),
            playbook: None,
            run: 1,
            on_complete: OnComplete::PowerOff,
            retries: 3,
        };
        let get = |key: &str| fields.and_then(|fields| fields.get(key));
        if let Some(node) = get("installer")
            && let Some(name) = reader.line(node, "cluster.installer")
        {
            if !installers.contains_key(&name) {
                let hint = match nearest(&name, installers.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "a directory under installers/, or a shipped one: pvc".into(),
                };
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
        let words = [("power-off", OnComplete::PowerOff), ("none", OnComplete::None)];
        let on_complete = get("on_complete").and_then(|node| reader.choice(node, "cluster.on_complete", &words));
        block.on_complete = on_complete.unwrap_or(OnComplete::PowerOff);
        block.playbook = match fields.and_then(|fields| Some((fields.raw("ansible")?, fields.place_of("ansible")))) {
            None => (block.installer == "pvc").then(|| ("pvc.yml".to_string(), None)),
            Some((node, place)) => playbook(reader, node, place, tree).map(|path| (path, Some(place))),
        };
        block
    }

    /// The configuration task.
    pub fn ansible(&self, cluster: &ClusterName, names: &BTreeSet<String>) -> Option<TaskSpec> {
        let (path, _) = self.playbook.as_ref()?;
        let targets: BTreeSet<HostId> = names.iter().map(|name| HostId::new(cluster, name)).collect();
        Some(TaskSpec {
            id: TaskId::new("ansible"),
            name: "ansible".into(),
            kind: TaskKind::Ansible(AnsibleTask {
                playbook: path.clone(),
                reboots: self.installer == "pvc",
                order: targets.iter().cloned().collect(),
                generated: format!("files/{cluster}"),
                encrypt_generated: false,
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
}

fn playbook(reader: &mut Reader<'_>, node: &Node, place: Place, tree: &Tree) -> Option<String> {
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
    let value = reader.need(&fields, "playbook", hint)?;
    let path = reader.line(value, "cluster.ansible.playbook")?;
    let inside = !path.starts_with('/') && !path.starts_with('-') && !path.split('/').any(|part| part == "..");
    if !inside || matches!(tree::find(tree, &path), Found::Missing | Found::Directory(_)) {
        let message = format!("there is no playbook `{path}` in the repository");
        reader.error(value.place, "missing-file", message, "a path relative to the repository's root");
    }
    Some(path)
}
