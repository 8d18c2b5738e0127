//! Clusters: `clusters.yml`, and for each its variables and its `bootstrap.yml`.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::block::Block;
use super::file::KEYS;
use super::hook::directory::Hooks;
use super::host::{self, Defaults, Draft};
use super::installer::Installers;
use super::inventory::Inventory;
use super::read::{Fields, Reader};
use super::tree::{self, Found};
use super::variables::doc;
use super::vars::{Doc, Scope};
use super::{Context, Tree, account, hook};
use crate::model::{ClusterName, ClusterSpec, Finding, Protocol, Secret, TaskSpec};
use crate::yaml::word::nearest;
use crate::yaml::{self, Node, Place};

/// The file that names the clusters.
pub const CLUSTERS: &str = "clusters.yml";

/// A cluster as read: possibly wrong.
pub struct ClusterDraft {
    /// What everybody sees of it.
    pub spec: ClusterSpec,
    /// Its `bootstrap.yml`.
    pub path: Arc<str>,
    /// The installer of its hosts, when that is known and usable.
    pub installer: Option<String>,
    /// The account that its BMCs have in production, where that is known.
    pub production: Option<(String, Secret)>,
    /// Its machines, in the order in which they are written.
    pub hosts: Vec<Draft>,
}

/// What reading needs besides a cluster's own files.
pub struct Site<'a> {
    pub tree: &'a Tree,
    pub context: &'a Context<'a>,
    pub inventory: &'a Inventory,
    pub installers: &'a Installers,
    pub hooks: &'a Hooks,
    docs: BTreeMap<String, Vec<Doc>>,
}

impl<'a> Site<'a> {
    /// Puts the parts together.
    pub fn new(
        tree: &'a Tree,
        context: &'a Context<'a>,
        inventory: &'a Inventory,
        installers: &'a Installers,
        hooks: &'a Hooks,
    ) -> Self {
        Site { tree, context, inventory, installers, hooks, docs: BTreeMap::new() }
    }

    /// Every cluster of `clusters.yml`.
    pub fn clusters(&mut self, found: &mut Vec<Finding>) -> Vec<ClusterDraft> {
        let names = names(self.tree, found);
        let drafts = names.into_iter().filter_map(|(name, place)| self.cluster(&name, place, found));
        drafts.collect()
    }

    /// The variables of `<kind>/<name>`: a file, or a directory of files in the order of their names.
    fn vars(&mut self, kind: &str, name: &str, found: &mut Vec<Finding>) -> Vec<Doc> {
        let base = format!("{kind}/{name}");
        if let Some(known) = self.docs.get(&base) {
            return known.clone();
        }
        let mut paths: Vec<String> = ["", ".yml", ".yaml", ".json"].map(|end| format!("{base}{end}")).to_vec();
        if let Found::Directory(real) = tree::find(self.tree, &base) {
            paths.extend(tree::list(self.tree, &real).into_iter().map(|name| format!("{base}/{name}")));
        }
        let fits = |path: &str| {
            let file = path.rsplit('/').next().unwrap_or_default();
            !file.starts_with('.')
                && (!file.contains('.')
                    || path == base
                    || file.ends_with(".yml")
                    || file.ends_with(".yaml")
                    || file.ends_with(".json"))
        };
        let docs: Vec<_> = paths
            .iter()
            .filter(|path| fits(path))
            .filter_map(|path| doc(self.tree, path, &self.context.secrets, found))
            .collect();
        self.docs.insert(base, docs.clone());
        docs
    }

    /// What holds for every host of a cluster.
    fn scope(&mut self, name: &str, found: &mut Vec<Finding>) -> Scope {
        let lineage = self.inventory.lineage(name);
        let mut docs: Vec<Doc> = lineage.iter().filter_map(|group| self.inventory.group_vars(group)).collect();
        for group in &lineage {
            docs.extend(self.vars("group_vars", group, found));
        }
        Scope { docs, magic: Vec::new(), secrets: self.context.secrets.clone() }
    }

    /// What holds for one host.
    fn host_scope(&mut self, cluster: &Scope, short: &str, domain: &str, found: &mut Vec<Finding>) -> Scope {
        let fqdn = format!("{short}.{domain}");
        let mut docs = cluster.docs.clone();
        docs.extend(self.inventory.host_vars(&fqdn, short));
        for name in [short, &fqdn] {
            if host::is_label(short) {
                docs.extend(self.vars("host_vars", name, found));
            }
        }
        let magic = vec![("inventory_hostname", fqdn), ("inventory_hostname_short", short.to_string())];
        Scope { docs, magic, secrets: self.context.secrets.clone() }
    }

    fn cluster(&mut self, name: &str, place: Place, found: &mut Vec<Finding>) -> Option<ClusterDraft> {
        let directory = format!("group_vars/{name}");
        if tree::find(self.tree, &directory) == Found::Submodule {
            let message = format!("`{directory}` is in a submodule, and submodules are not looked into");
            let hint = "copy the directory into the repository";
            found.push(Finding::error(CLUSTERS, place, "in-submodule", message).hint(hint));
            return None;
        }
        let path: Arc<str> = format!("{directory}/bootstrap.yml").into();
        let Found::File(..) = tree::find(self.tree, &path) else {
            let message = format!("cluster `{name}` has no `{path}`; it is left out");
            let finding = Finding::warning(CLUSTERS, place, "no-bootstrap", message);
            found.push(finding.hint("write the file, or take the cluster from the list"));
            return None;
        };
        let scope = Arc::new(self.scope(name, found));
        let domain = self.domain(name, &scope, found).unwrap_or_else(|| "invalid".into());
        let doc = scope.docs.iter().rev().find(|doc| doc.path == path);
        if doc.is_some_and(|doc| doc.whole) {
            let message = "the file is encrypted as a whole, but host names and MACs have to be seen";
            let hint = "encrypt its passwords only: `ansible-vault encrypt_string`, or SOPS with `encrypted_regex`";
            found.push(Finding::error(&path, (1, 1), "sealed-file", message).hint(hint));
            return None;
        }
        let root = doc.map(|doc| doc.root.clone());
        let root = root.unwrap_or_else(|| Arc::new(Node::scalar_at((1, 1), "", true)));
        if root.is_null() || root.map().is_none_or(|map| map.is_empty()) {
            if !found.iter().any(|finding| *finding.path == *path) {
                let finding = Finding::warning(&path, (1, 1), "no-hosts", format!("cluster `{name}` has no hosts"));
                found.push(finding.hint("list its machines under `bootstrap:`"));
            }
            return None;
        }
        self.bootstrap(name, place, path, &root, scope, domain, found)
    }

    fn domain(&self, name: &str, scope: &Arc<Scope>, found: &mut Vec<Finding>) -> Option<String> {
        let base = format!("group_vars/{name}/base.yml");
        let Some((path, node)) = scope.lookup("local_domain") else {
            let finding = match tree::find(self.tree, &base) {
                // Whatever else is wrong with the file is said already.
                Found::File(..) if found.iter().any(|finding| finding.path == base) => return None,
                Found::File(path, _) => Finding::error(
                    &path,
                    (0, 0),
                    "missing-key",
                    format!("`local_domain` is missing for cluster `{name}`"),
                ),
                _ => Finding::error(&base, (0, 0), "missing-file", format!("cluster `{name}` has no `{base}`")),
            };
            found.push(finding.hint("write `local_domain: example.net`: the domain of the cluster's hosts"));
            return None;
        };
        let mut reader = Reader::new(path, scope.clone(), found);
        let Some(domain) = reader.line(node, "local_domain") else {
            if reader.errors() == 0 {
                let message = "`local_domain` cannot be encrypted: host names are made of it";
                reader.error(node.place, "sealed-name", message, "write it in clear");
            }
            return None;
        };
        if domain.len() > 190 || !domain.split('.').all(host::is_label) {
            let message = format!("`{domain}` cannot be a domain");
            reader.error(node.place, "bad-domain", message, "labels of letters, digits and hyphens, joined by dots");
            return None;
        }
        Some(domain)
    }

    #[allow(clippy::too_many_arguments, reason = "one call, and every part of it is needed together")]
    fn bootstrap(
        &mut self,
        name: &str,
        place: Place,
        path: Arc<str>,
        root: &Node,
        scope: Arc<Scope>,
        domain: String,
        found: &mut Vec<Finding>,
    ) -> Option<ClusterDraft> {
        let cluster = ClusterName::new(name);
        let mut reader = Reader::new(&path, scope.clone(), found);
        let file = reader.fields(root, (1, 1), "", &KEYS.bootstrap)?;
        let block = file
            .get("cluster")
            .and_then(|node| reader.fields(node, file.place_of("cluster"), "cluster", &KEYS.cluster));
        let block = Block::read(&mut reader, block.as_ref(), self.installers, self.tree);
        if !reader.sealed.is_empty() {
            let message = "nothing in `cluster` can be encrypted: it decides what happens to every host";
            reader.error(file.place_of("cluster"), "sealed-cluster", message, "write it in clear");
        }
        let installer = self.installers.get(&block.installer).and_then(Option::as_ref);
        let defaults = Defaults {
            cluster: name,
            domain: &domain,
            generation: block.generation.0,
            needs_disk: installer.is_some_and(|installer| installer.needs_disk),
            numbered: block.playbook.is_some() && block.installer == "pvc",
            release: &self.context.release,
            mirror: &self.context.mirror,
        };
        let hosts = self.hosts(&path, &file, &scope, &defaults, block.generation.1, found);
        self.check_inventory(name, place, &path, &hosts, found);
        let names: BTreeSet<String> =
            hosts.iter().filter_map(|draft| Some(draft.hostname.as_ref()?.0.clone())).collect();
        let mut reader = Reader::new(&path, scope.clone(), found);
        let needed = block.playbook.is_some() && hosts.iter().any(|draft| draft.bmc.protocol != Protocol::None);
        let production = account::production(&mut reader, &scope, needed);
        let mut tasks: Vec<TaskSpec> = block.ansible(&cluster, &names, &scope).into_iter().collect();
        let around = hook::Around { hooks: self.hooks, tree: self.tree, cluster: &cluster, names: &names };
        tasks.extend(file.get("hooks").map(|node| hook::read(&mut reader, node, &around)).unwrap_or_default());
        let spec = ClusterSpec {
            name: cluster,
            domain,
            tasks,
            run: block.run,
            on_complete: block.on_complete,
            retries: block.retries,
        };
        let installer = installer.map(|installer| installer.name.to_string());
        Some(ClusterDraft { spec, path, installer, production, hosts })
    }

    fn hosts(
        &mut self,
        path: &str,
        file: &Fields<'_>,
        scope: &Arc<Scope>,
        defaults: &Defaults<'_>,
        generation: Option<Place>,
        found: &mut Vec<Finding>,
    ) -> Vec<Draft> {
        let mut reader = Reader::new(path, scope.clone(), found);
        let machines = match file.get("bootstrap") {
            Some(node) => reader.open_fields(node, file.place_of("bootstrap"), "bootstrap"),
            None => {
                let message = format!("cluster `{}` has no hosts", defaults.cluster);
                reader.warning(file.place_of("bootstrap"), "no-hosts", message, "list its machines under `bootstrap:`");
                None
            }
        };
        let Some(machines) = machines else { return Vec::new() };
        let mut drafts = Vec::with_capacity(machines.entries().len());
        for (key, node) in machines.entries() {
            let mut reader = Reader::new(path, scope.clone(), found);
            let Some(node) = reader.resolve(node, "bootstrap") else { continue };
            let hostname = host::hostname(&mut reader, &node, key.place, defaults);
            let wrong_name = reader.errors() > 0;
            let short = hostname.as_ref().map(|(name, _)| name.as_str()).unwrap_or_default();
            let own = Arc::new(self.host_scope(scope, short, defaults.domain, found));
            let mut reader = Reader::new(path, own, found);
            let mut draft = host::read(&mut reader, key, &node, hostname, defaults);
            draft.sound &= !wrong_name;
            if draft.generation.1 == key.place {
                draft.generation.1 = generation.unwrap_or(key.place);
            }
            drafts.push(draft);
        }
        drafts
    }

    fn check_inventory(&self, name: &str, place: Place, path: &str, hosts: &[Draft], found: &mut Vec<Finding>) {
        let Some(inventory) = &self.inventory.path else { return };
        if !self.inventory.has_group(name) {
            let message = format!("cluster `{name}` is not a group of the inventory `{inventory}`");
            let hint = format!("add `[{name}]` with the cluster's hosts");
            found.push(Finding::error(CLUSTERS, place, "no-inventory-group", message).hint(hint));
            return;
        }
        let members = self.inventory.members(name);
        for (hostname, place) in hosts.iter().filter_map(|draft| draft.hostname.as_ref()) {
            if !members.contains(hostname.as_str()) {
                let message = format!("`{hostname}` is not in the inventory group `{name}`");
                let hint = match nearest(hostname, members.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`? Otherwise add it to `{inventory}`"),
                    None => format!("add it to the group `{name}` in `{inventory}`"),
                };
                found.push(Finding::error(path, *place, "not-in-inventory", message).hint(hint));
            }
        }
    }
}

fn names(tree: &Tree, found: &mut Vec<Finding>) -> Vec<(String, Place)> {
    let Found::File(path, bytes) = tree::find(tree, CLUSTERS) else {
        let finding =
            Finding::warning(CLUSTERS, (0, 0), "no-clusters", "there is no clusters.yml, so there are no clusters");
        found.push(finding.hint("write `clusters: [cluster1]`"));
        return Vec::new();
    };
    let Some(root) = yaml::parse(&path, &bytes, found) else { return Vec::new() };
    if root.is_null() {
        return Vec::new();
    }
    let mut reader = Reader::new(&path, Arc::new(Scope::default()), found);
    let Some(fields) = reader.fields(&root, (1, 1), "", &KEYS.clusters) else { return Vec::new() };
    let Some(list) = fields.get("clusters") else { return Vec::new() };
    let mut names: Vec<(String, Place)> = Vec::new();
    for (name, place) in reader.lines(list, "clusters").unwrap_or_default() {
        let shaped = !name.is_empty()
            && name.len() <= 100
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
            && name.as_bytes()[0].is_ascii_alphanumeric()
            && !name.contains("..");
        if !shaped || matches!(name.as_str(), "all" | "ungrouped") {
            let hint = "letters, digits, `_`, `-` and `.`; it is a directory, and a group of the inventory";
            reader.error(place, "bad-cluster-name", format!("`{name}` cannot be the name of a cluster"), hint);
        } else if let Some((_, first)) = names.iter().find(|(known, _)| *known == name) {
            let message = format!("cluster `{name}` is listed twice, first in line {}", first.0);
            reader.error(place, "duplicate-cluster", message, "keep one");
        } else {
            names.push((name, place));
        }
    }
    names
}
