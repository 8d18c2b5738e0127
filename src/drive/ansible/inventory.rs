//! The inventory of a run, and the host keys that count in it.
//!
//! Three sources are given to Ansible, in this order; where hosts are listed first decides their order, and what is said
//! last of a host counts ("How variables are merged", Ansible's inventory guide):
//!
//! 1. `first.yml`: the cluster's group with its hosts in the wanted order, and the user that the installer made, which
//!    the repository may overrule;
//! 2. the repository's own inventory where it lies, so that `group_vars` and `host_vars` beside it apply;
//! 3. `observed.yml`: where the hosts really are, and how their keys are checked.
//!
//! `host_vars` beat all of them. Where the repository has some for a host, what was observed is put behind them in the
//! checkout ([`overrule`]).
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::drive::task::TaskRun;
use crate::model::{AnsibleTask, Fault, HostId, HostSpec, Reason};
use crate::plan;
use crate::repo;

/// A host, as Ansible is told of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listed {
    pub id: HostId,
    pub name: String,
    /// Where it is, its port, and its key; unknown for a host that the run is not for.
    pub at: Option<At>,
}

/// How a host is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct At {
    address: String,
    port: u16,
    key: String,
}

/// All hosts of the cluster in the order of the inventory. Those that the run is for must have been reached.
pub fn list(
    task: &AnsibleTask,
    run: &TaskRun<'_>,
    inventory: &repo::inventory::Inventory,
) -> Result<Vec<Listed>, Fault> {
    let Some(desired) = &run.world.desired else { return Ok(Vec::new()) };
    let mut specs: Vec<&HostSpec> = desired.hosts_of(&run.cluster.name).map(|spec| &**spec).collect();
    let place = |spec: &HostSpec| task.order.iter().position(|id| *id == spec.id).unwrap_or(usize::MAX);
    specs.sort_by_cached_key(|spec| place(spec));
    specs.into_iter().map(|spec| listed(run, spec, inventory)).collect()
}

fn listed(run: &TaskRun<'_>, spec: &HostSpec, inventory: &repo::inventory::Inventory) -> Result<Listed, Fault> {
    let name = inventory.name_of(&spec.fqdn, &spec.id.host).unwrap_or(&spec.fqdn).to_owned();
    let at = || -> Result<At, Fault> {
        let key = plan::ssh::host_key(run.world, spec);
        let key =
            key.ok_or_else(|| Fault::transient(Reason::NoHostKey, format!("no host key of {} is known", spec.id)))?;
        let target = run.target(spec)?;
        Ok(At { address: target.address.to_string(), port: target.port, key })
    };
    let at = if run.covers.contains_key(&spec.id) { Some(at()?) } else { at().ok() };
    Ok(Listed { id: spec.id.clone(), name, at })
}

/// The first source.
pub fn first(cluster: &str, user: &str, hosts: &[Listed]) -> Value {
    let hosts: Map<String, Value> = hosts.iter().map(|host| (host.name.clone(), json!({}))).collect();
    json!({ "all": { "vars": { "ansible_user": user } }, cluster: { "hosts": hosts } })
}

/// What was observed of a host, as variables.
fn observed(at: &At, key_file: &Path, ssh: &str) -> Value {
    json!({
        "ansible_host": at.address,
        "ansible_port": at.port,
        "ansible_ssh_private_key_file": key_file.to_string_lossy(),
        "ansible_ssh_common_args": ssh,
    })
}

/// The last source: variables of every host whose place is known, by its name.
pub(crate) fn observations(hosts: &[Listed], key_file: &Path, ssh: &str) -> BTreeMap<String, Value> {
    hosts.iter().filter_map(|host| Some((host.name.clone(), observed(host.at.as_ref()?, key_file, ssh)))).collect()
}

/// The last source, as a file: in the cluster's group again, for hosts that are named in `all` itself would come before all
/// others, in the order of their names.
pub fn last(cluster: &str, observations: &BTreeMap<String, Value>) -> Value {
    json!({ cluster: { "hosts": observations } })
}

/// `known_hosts` (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): a port other than 22 is written with the address in brackets.
pub fn known_hosts(hosts: &[Listed]) -> String {
    let line = |At { address, port, key }: &At| match port {
        22 => format!("{address} {}\n", key.trim()),
        _ => format!("[{address}]:{port} {}\n", key.trim()),
    };
    hosts.iter().filter_map(|host| host.at.as_ref()).map(line).collect()
}

/// Options for `ssh` with which only the pinned keys count and nobody's configuration does. Ansible splits them as a shell
/// does; `ssh` splits the file's name at blanks again and expands `%`.
pub(crate) fn ssh_options(known_hosts: &Path) -> String {
    let file = known_hosts.to_string_lossy().replace('%', "%%");
    let words = [
        "-F none".to_owned(),
        "-o IdentitiesOnly=yes".to_owned(),
        format!("-o 'UserKnownHostsFile=\"{}\"'", file.replace('\'', "'\\''")),
        "-o GlobalKnownHostsFile=/dev/null".to_owned(),
        "-o StrictHostKeyChecking=yes".to_owned(),
        "-o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=8".to_owned(),
    ];
    words.join(" ")
}

/// Puts what was observed behind the `host_vars` that the checkout has for a host, in `dir/host_vars`: a file becomes a
/// directory with two in it, which Ansible reads in the order of their names.
pub(crate) fn overrule(dir: &Path, observations: &BTreeMap<String, Value>) -> io::Result<()> {
    let home = dir.join("host_vars");
    for (name, values) in observations {
        let place = home.join(name);
        for end in ["", ".yml", ".yaml", ".json"] {
            let file = home.join(format!("{name}{end}"));
            if file.is_file() {
                let own = home.join(format!(".{name}{end}.own"));
                fs::rename(&file, &own)?;
                fs::create_dir_all(&place)?;
                fs::rename(own, place.join(format!("0-own{}", if end.is_empty() { ".yml" } else { end })))?;
            }
        }
        if place.is_dir() {
            // Behind whatever name comes last there.
            fs::write(place.join("~~rackwright.json"), values.to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Listed {
        let id = HostId::new(&crate::model::ClusterName::new("c1"), name);
        let at = At { address: "192.0.2.1".into(), port, key: "ssh-ed25519 AAAA\n".into() };
        Listed { id, name: name.into(), at: Some(at) }
    }

    #[test]
    fn host_keys_stand_for_address_and_port() {
        let hosts = [host("hv1", 22), host("hv2", 2222), Listed { at: None, ..host("hv3", 22) }];
        assert_eq!(known_hosts(&hosts), "192.0.2.1 ssh-ed25519 AAAA\n[192.0.2.1]:2222 ssh-ed25519 AAAA\n");
    }

    #[test]
    fn order_is_kept() {
        let text = first("c1", "deploy", &[host("hv3", 22), host("hv1", 22)]).to_string();
        assert!(text.find("hv3") < text.find("hv1"), "{text}");
    }

    #[test]
    fn host_vars_come_first_and_what_was_observed_last() {
        let dir = tempfile::tempdir().unwrap();
        let vars = dir.path().join("host_vars");
        fs::create_dir_all(vars.join("hv2")).unwrap();
        fs::write(vars.join("hv1.yml"), "a: 1\n").unwrap();
        let observations = observations(&[host("hv1", 22), host("hv2", 22), host("hv3", 22)], Path::new("/k"), "-x");
        overrule(dir.path(), &observations).unwrap();
        let names = |host: &str| {
            let mut names: Vec<_> = fs::read_dir(vars.join(host)).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names("hv1"), ["0-own.yml", "~~rackwright.json"]);
        assert_eq!(names("hv2"), ["~~rackwright.json"]);
        assert!(!vars.join("hv3").exists() && !vars.join("hv1.yml").exists());
    }
}
