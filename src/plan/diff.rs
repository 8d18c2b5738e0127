//! What would a change of the repository do to each host? For people, before they merge it; the daemon never asks.

#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::model::status::HostStatus;
use crate::model::{Desired, DiskChoice, Generation, HostId, HostSpec, Lifecycle};

/// What happens to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Its disks are wiped, for the first time.
    Install,
    /// Its disks are wiped again.
    Reinstall,
    /// Tasks run, or it is talked to differently; no disk is touched.
    Reconfigure,
    /// Its install inputs differ from what is installed, at the same generation: reported, never acted on.
    Drift,
    /// It leaves the repository: nothing is done to it any more.
    Forget,
    None,
}

impl Effect {
    /// Every effect, the gravest first.
    pub const ALL: [Effect; 6] =
        [Effect::Install, Effect::Reinstall, Effect::Reconfigure, Effect::Drift, Effect::Forget, Effect::None];

    /// Whether disks are wiped.
    pub fn wipes(self) -> bool {
        matches!(self, Effect::Install | Effect::Reinstall)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Effect::Install => "install",
            Effect::Reinstall => "reinstall",
            Effect::Reconfigure => "reconfigure",
            Effect::Drift => "drift",
            Effect::Forget => "forget",
            Effect::None => "none",
        }
    }

    /// As it is said after "to".
    pub fn verb(self) -> &'static str {
        match self {
            Effect::Drift => "leave in drift",
            other => other.as_str(),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happens to one host, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    pub host: HostId,
    pub effect: Effect,
    pub reason: String,
    /// The disks that are wiped: as written in the repository, or chassis slots.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<String>,
}

/// What the status branch knows of an installed host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The generation acknowledged as installed.
    pub generation: Generation,
    /// Whether it had drifted already.
    pub drift: bool,
}

impl Known {
    /// Reads it from a host's status; `None` when nothing is installed.
    pub fn of(status: &HostStatus) -> Option<(HostId, Known)> {
        let generation = status.generation.installed?;
        Some((status.id(), Known { generation, drift: status.drift }))
    }
}

/// Compares two revisions, host by host, in name order. `installed` is what the status branch knows; without it the
/// hosts of the base are taken as installed at their generation.
pub fn diff(base: Option<&Desired>, head: &Desired, installed: Option<&BTreeMap<HostId, Known>>) -> Vec<Change> {
    let before = |id: &HostId| base.and_then(|base| base.hosts.get(id)).map(|spec| &**spec);
    let known = |id: &HostId| match installed {
        Some(installed) => installed.get(id).copied(),
        None => before(id).map(|spec| Known { generation: spec.generation, drift: false }),
    };
    let mut changes: Vec<Change> = head
        .hosts
        .values()
        .map(|spec| {
            let (effect, mut reason) = judge(spec, before(&spec.id), known(&spec.id), base, head);
            let disks = if effect.wipes() { wiped(spec) } else { Vec::new() };
            if effect.wipes() && spec.prepare.replace_volumes {
                reason.push_str("; RAID volumes that use its slots may be deleted, on all of their drives");
            }
            Change { host: spec.id.clone(), effect, reason, disks }
        })
        .collect();
    let gone = base.into_iter().flat_map(|base| base.hosts.keys()).filter(|id| !head.hosts.contains_key(id));
    changes.extend(gone.map(|id| Change {
        host: id.clone(),
        effect: Effect::Forget,
        reason: "leaves the repository: it is left alone, no power, boot or disk action".into(),
        disks: Vec::new(),
    }));
    changes.sort_by(|a, b| a.host.cmp(&b.host));
    changes
}

fn judge(
    spec: &HostSpec,
    before: Option<&HostSpec>,
    known: Option<Known>,
    base: Option<&Desired>,
    head: &Desired,
) -> (Effect, String) {
    if spec.state != Lifecycle::Present {
        let word = if spec.state == Lifecycle::Retired { "retired" } else { "in maintenance" };
        let entered = before.is_none_or(|before| before.state != spec.state);
        let effect = if entered { Effect::Reconfigure } else { Effect::None };
        return (effect, format!("{word}: left alone, boots its own disk"));
    }
    let Some(known) = known else {
        let why = if before.is_some() { "not installed yet" } else { "new host" };
        return (Effect::Install, format!("{why}, generation {}", spec.generation));
    };
    if spec.generation > known.generation {
        return (Effect::Reinstall, format!("generation {} -> {}", known.generation, spec.generation));
    }
    if spec.generation < known.generation {
        let message = format!("generation {} is below the installed {}: blocked", spec.generation, known.generation);
        return (Effect::None, message);
    }
    let changes = reconfigured(spec, before, base, head);
    if before.is_some_and(|before| before.spec != spec.spec) {
        let hint = "its install inputs change at the same generation: raise it to reinstall";
        return (Effect::Drift, [vec![hint.to_string()], changes].concat().join("; "));
    }
    match (changes.is_empty(), known.drift) {
        (false, _) => (Effect::Reconfigure, changes.join("; ")),
        (true, true) => (Effect::Drift, "drifted already: raise its generation to reinstall".into()),
        (true, false) => (Effect::None, "unchanged".into()),
    }
}

/// What an install wipes, for people.
fn wiped(spec: &HostSpec) -> Vec<String> {
    match &spec.prepare.disk {
        DiskChoice::Named => spec.disks.clone(),
        DiskChoice::Slot(slot) => vec![format!("slot {slot}")],
        DiskChoice::Mirror([first, second]) => vec![format!("RAID-1 of slots {first} and {second}")],
    }
}

/// What changes for an installed host without touching its disk.
fn reconfigured(spec: &HostSpec, before: Option<&HostSpec>, base: Option<&Desired>, head: &Desired) -> Vec<String> {
    let mut changes = Vec::new();
    if let Some(before) = before {
        if before.state != spec.state {
            changes.push("back from maintenance".to_string());
        }
        if before.bmc.identity != spec.bmc.identity || before.bmc.protocol != spec.bmc.protocol {
            changes.push("its BMC's address or credentials change".to_string());
        }
    }
    let (cluster, name) = (head.clusters.get(&spec.id.cluster), &spec.id.cluster);
    let old = base.and_then(|base| base.clusters.get(name));
    let (Some(cluster), Some(old)) = (cluster, old) else { return changes };
    for task in cluster.tasks.iter().filter(|task| task.targets.contains(&spec.id)) {
        let known = old.tasks.iter().find(|known| known.id == task.id);
        if known.is_none_or(|known| !known.targets.contains(&spec.id)) {
            changes.push(format!("task `{}` runs for it", task.name));
        }
    }
    if cluster.run > old.run {
        changes.push(format!("cluster.run {} -> {}: a failed task runs again", old.run, cluster.run));
    }
    changes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::model::{
        BmcSpec, ClaimBy, ClusterName, ClusterSpec, Digest, HookProgram, HookTask, LocalBoot, Mac, OnComplete,
        OnFailure, Place, Prepare, Protocol, Rerun, Scope, Secret, TaskId, TaskKind, TaskSpec,
    };

    fn host(name: &str, generation: u32, spec: &str) -> HostSpec {
        HostSpec {
            id: HostId::new(&ClusterName::new("c1"), name),
            bmc_mac: Mac([2, 0, 0, 0, 0, name.len() as u8]),
            fqdn: format!("{name}.example.net"),
            generation: Generation(generation),
            state: Lifecycle::Present,
            boot_mac: None,
            address: None,
            installer: Arc::from("pvc"),
            claim: ClaimBy::AnswerFile,
            spec: Digest::new(spec),
            files: Vec::new(),
            images: Arc::from([]),
            local_boot: LocalBoot::Auto,
            disks: vec!["/dev/sda".into()],
            bmc: BmcSpec::new(Protocol::None, "", Secret::new("")),
            prepare: Arc::default(),
            blocked: Vec::new(),
            origin: (Arc::from("x"), 1),
        }
    }

    fn task(name: &str, targets: &[&HostSpec]) -> TaskSpec {
        TaskSpec {
            id: TaskId::new(name),
            name: name.into(),
            kind: TaskKind::Hook(HookTask {
                program: Arc::new(HookProgram {
                    name: "x".into(),
                    scope: Scope::Each,
                    place: Place::Host,
                    ready: None,
                    run: Arc::from([]),
                }),
                args: Secret::new("{}"),
                secrets: Vec::new(),
                files: Vec::new(),
                sudo: false,
            }),
            targets: targets.iter().map(|host| host.id.clone()).collect::<BTreeSet<_>>(),
            idempotent: true,
            rerun: Rerun::OnReinstall,
            on_failure: OnFailure::Stop,
            time_limit: None,
            blocked: None,
            definition: Digest::new("d"),
        }
    }

    fn desired(hosts: Vec<HostSpec>, tasks: Vec<TaskSpec>) -> Desired {
        let cluster = ClusterSpec {
            name: ClusterName::new("c1"),
            domain: "example.net".into(),
            tasks,
            run: 1,
            on_complete: OnComplete::None,
            retries: 3,
        };
        Desired::new(None, [cluster], hosts, Vec::new())
    }

    fn effects(changes: &[Change]) -> Vec<(&str, Effect)> {
        changes.iter().map(|change| (&*change.host.host, change.effect)).collect()
    }

    #[test]
    fn each_effect_has_its_cause() {
        let base = desired(vec![host("a", 1, "x"), host("b", 1, "x"), host("c", 1, "x"), host("e", 1, "x")], vec![]);
        let head = desired(vec![host("a", 1, "x"), host("b", 2, "x"), host("c", 1, "y"), host("d", 1, "x")], vec![]);
        let changes = diff(Some(&base), &head, None);
        let expected = [
            ("a", Effect::None),
            ("b", Effect::Reinstall),
            ("c", Effect::Drift),
            ("d", Effect::Install),
            ("e", Effect::Forget),
        ];
        assert_eq!(effects(&changes), expected);
        assert_eq!(changes[1].reason, "generation 1 -> 2");
        assert_eq!(changes[1].disks, ["/dev/sda"]);
        assert!(changes[2].disks.is_empty());
    }

    #[test]
    fn the_status_branch_knows_better_than_the_base() {
        let base = desired(vec![host("a", 1, "x"), host("b", 1, "x"), host("c", 2, "x")], vec![]);
        let known = |generation, drift| Known { generation: Generation(generation), drift };
        let id = |name: &str| HostId::new(&ClusterName::new("c1"), name);
        let installed = BTreeMap::from([(id("b"), known(1, true)), (id("c"), known(3, false))]);
        let changes = diff(Some(&base), &base, Some(&installed));
        assert_eq!(effects(&changes), [("a", Effect::Install), ("b", Effect::Drift), ("c", Effect::None)]);
        assert!(changes[2].reason.contains("blocked"), "{}", changes[2].reason);
    }

    #[test]
    fn slots_and_volumes_that_may_go_are_shown() {
        let slots = |slots: [&str; 2], volumes| {
            let slots = DiskChoice::Mirror(slots.map(String::from));
            Arc::new(Prepare::new(slots, volumes, BTreeMap::new(), BTreeMap::new()))
        };
        let (mut a, mut b) = (host("a", 1, "x"), host("b", 1, "x"));
        (a.prepare, b.prepare) = (slots(["0", "1"], false), slots(["0", "1"], true));
        let changes = diff(None, &desired(vec![a, b], vec![]), None);
        assert_eq!(changes[0].disks, ["RAID-1 of slots 0 and 1"]);
        let told = |change: &Change| change.reason.contains("RAID volumes that use its slots may be deleted");
        assert_eq!((told(&changes[0]), told(&changes[1])), (false, true));
    }

    #[test]
    fn tasks_and_bmcs_reconfigure() {
        let (a, mut b) = (host("a", 1, "x"), host("b", 1, "x"));
        let base = desired(vec![a.clone(), b.clone()], vec![]);
        b.bmc.identity = Digest::new("other");
        let hook = task("hook-1-osd", &[&a]);
        let head = desired(vec![a, b], vec![hook]);
        let changes = diff(Some(&base), &head, None);
        assert_eq!(effects(&changes), [("a", Effect::Reconfigure), ("b", Effect::Reconfigure)]);
        assert_eq!(changes[0].reason, "task `hook-1-osd` runs for it");
    }

    #[test]
    fn a_host_in_maintenance_is_never_wiped() {
        let base = desired(vec![host("a", 1, "x")], vec![]);
        let mut a = host("a", 2, "y");
        a.state = Lifecycle::Maintenance;
        let head = desired(vec![a], vec![]);
        assert_eq!(effects(&diff(Some(&base), &head, None)), [("a", Effect::Reconfigure)]);
        assert_eq!(effects(&diff(Some(&head), &head, None)), [("a", Effect::None)]);
    }
}
