//! The status files, read back by a daemon whose journal is empty.

use super::{ClusterStatus, Files, HostStatus, RackStatus};
use crate::model::{
    AdoptedHost, AdoptedTask, Adoption, ConditionStatus, Fault, Generated, HostId, Installed, Reason, TaskId, Time,
};

/// What the status branch says. A file that cannot be read is an error: guessing could cost a disk.
pub fn adoption(files: &Files) -> Result<Adoption, String> {
    let mut adoption = Adoption::default();
    for (path, text) in files {
        if path == "rack.yaml" {
            let rack: RackStatus = read(path, text)?;
            adoption.armed = rack.armed;
            adoption.sequence = rack.sequence;
        } else if path.starts_with("hosts/") && path.ends_with(".yaml") {
            adoption.hosts.push(host(read(path, text)?).map_err(|why| format!("{path}: {why}"))?);
        } else if path.starts_with("clusters/") && path.ends_with(".yaml") {
            cluster(&mut adoption, read(path, text)?).map_err(|why| format!("{path}: {why}"))?;
        }
    }
    Ok(adoption)
}

/// Number of the last state change that a commit with this `rack.yaml` carries; 0 where it does not say.
pub fn sequence(rack: Option<&str>) -> u64 {
    rack.and_then(|text| read::<RackStatus>("rack.yaml", text).ok()).map_or(0, |rack| rack.sequence)
}

fn read<T: serde::de::DeserializeOwned>(path: &str, text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| format!("{path}: {error}"))
}

fn time(text: &str) -> Result<Time, String> {
    if text.is_empty() {
        return Ok(Time::default());
    }
    Time::parse(text).ok_or_else(|| format!("`{text}` is not a time"))
}

fn host(status: HostStatus) -> Result<AdoptedHost, String> {
    let address = |text: Option<&String>| text.and_then(|text| text.parse().ok());
    let installed = match status.installed {
        Some(install) => Some(Installed {
            generation: install.generation,
            token: install.id,
            spec: install.spec,
            at: time(&install.at)?,
        }),
        None => None,
    };
    let bmc = status.bmc.as_ref();
    Ok(AdoptedHost {
        id: HostId::new(&status.cluster, &status.host),
        state: status.state,
        since: time(&status.since)?,
        ready: status.condition.status == ConditionStatus::Ready,
        installed,
        claim: status.claim.map(|claim| (claim.id, claim.generation, claim.spec)),
        announced: status.announced,
        bmc: (bmc.and_then(|bmc| bmc.mac), address(bmc.and_then(|bmc| bmc.address.as_ref()))),
        pin: bmc.and_then(|bmc| bmc.certificate.clone()),
        protocol: bmc.and_then(|bmc| bmc.protocol),
        boot: (status.boot.mac, address(status.boot.address.as_ref())),
        inventory: status.inventory,
        power: status.power,
        ssh_key: status.ssh.as_ref().and_then(|ssh| ssh.host_key.clone()),
        boot_before: status.ssh.as_ref().and_then(|ssh| ssh.boot_before.clone()),
        configured: match status.ssh.as_ref().and_then(|ssh| ssh.configured.as_ref()) {
            Some(text) => Some(time(text)?),
            None => None,
        },
    })
}

fn cluster(adoption: &mut Adoption, status: ClusterStatus) -> Result<(), String> {
    adoption.clusters.push((status.cluster.clone(), status.state, time(&status.since)?));
    if let Some(kept) = status.write_back {
        let since = time(&kept.since)?;
        let (pushing, pushed, failure) = (None, None, None);
        let generated =
            Generated { id: kept.id, revision: kept.revision, run: kept.run, since, pushing, pushed, failure };
        adoption.generated.push((status.cluster.clone(), generated));
    }
    for task in status.tasks {
        let Some(definition) = task.definition else { continue };
        adoption.tasks.push(AdoptedTask {
            cluster: status.cluster.clone(),
            task: TaskId::new(task.id.as_str()),
            definition,
            covers: task.covers,
            failed: task.failed_at_run.map(|run| {
                // A branch of an earlier version has no more than the message.
                let message = task.message.unwrap_or_default();
                (run, task.fault.unwrap_or_else(|| Fault::operator(Reason::TaskFailed, message)))
            }),
            announced: task.announced,
            at: time(task.at.as_deref().unwrap_or_default())?,
        });
    }
    Ok(())
}
