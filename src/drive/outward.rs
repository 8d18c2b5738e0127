//! The actions that carry something out of the rack: files that playbooks made, messages for people, commit statuses.

use std::sync::Arc;

use super::git::{Seal, WriteBack};
use super::{Drivers, blocking, forge, generated, notify};
use crate::model::{ClusterName, CommitStatus, Digest, Fault, Notice, Outcome, Reason, Revision, TaskKind, World};
use crate::repo::vault::{self, Sealer};

impl Drivers {
    /// Commits the files that a cluster's playbook made to the watched branch. The kept copy stays until the push is
    /// known.
    pub(super) async fn write_back(
        &self,
        cluster: &ClusterName,
        id: &Digest,
        revision: Option<&Revision>,
        world: &World,
    ) -> Result<Outcome, Fault> {
        let gone = || Fault::permanent(Reason::NoSuchCluster, "the cluster has left the repository");
        let spec = world.desired.as_ref().and_then(|desired| desired.clusters.get(cluster)).ok_or_else(gone)?;
        let encrypt = spec.tasks.iter().any(|task| matches!(&task.kind, TaskKind::Ansible(it) if it.encrypt_generated));
        let (state_dir, name, id) = (self.settings.state_dir.clone(), cluster.clone(), id.clone());
        let files = blocking("reading the kept files", move || generated::read(&state_dir, &name, &id)).await??;
        let seal = if encrypt { Some(self.seal(cluster).await?) } else { None };
        let what = WriteBack { cluster: cluster.clone(), base: revision.cloned(), files, seal };
        Ok(Outcome::WrittenBack(self.git.write_back(what, (self.clock)()).await?))
    }

    /// How a cluster's files are encrypted: with the vault password whose id is the cluster's name, else the first one.
    async fn seal(&self, cluster: &ClusterName) -> Result<Seal, Fault> {
        let (secrets, name) = (self.secrets.clone(), cluster.to_string());
        let password = blocking("reading a vault password", move || secrets.vault_password(&name)).await?;
        let password = password.map_err(|why| Fault::operator(Reason::SecretMissing, why))?;
        let sealer = Sealer::new(password.clone());
        let opens =
            move |data: &[u8]| vault::decrypt(std::str::from_utf8(data).ok()?, std::slice::from_ref(&password)).ok();
        Ok(Seal {
            encrypt: Arc::new(move |text| Ok(sealer.seal(text))),
            stands_for: Arc::new(move |data, text| data == text || opens(data).is_some_and(|clear| *clear == text)),
        })
    }

    /// Sends messages to a receiver.
    pub(super) async fn notify(&self, receiver: &str, notices: &[Notice]) -> Result<Outcome, Fault> {
        if let Some(to) = self.settings.notifications.iter().find(|to| to.receiver.name == receiver) {
            notify::notify(&self.http, to, notices).await?;
        }
        Ok(Outcome::Notified)
    }

    /// Tells the forge how a revision stands.
    pub(super) async fn tell_forge(
        &self,
        cluster: Option<&ClusterName>,
        status: &CommitStatus,
    ) -> Result<Outcome, Fault> {
        if let Some(to) = &self.settings.commit_status {
            forge::tell(&self.http, to, cluster, status).await?;
        }
        Ok(Outcome::ForgeTold)
    }

    /// Forgets the kept copies whose push is known and journaled.
    pub(super) async fn forget_pushed(&self, world: &Arc<World>) {
        let pushed = world.clusters.iter().filter_map(|(name, facts)| {
            let kept = facts.generated.as_ref().filter(|kept| kept.pushed.is_some())?;
            Some((name.clone(), kept.id.clone()))
        });
        let pushed: Vec<_> = pushed.collect();
        if pushed.is_empty() {
            return;
        }
        let state_dir = self.settings.state_dir.clone();
        let forgetting = blocking("forgetting what is pushed", move || {
            for (cluster, id) in pushed {
                if let Err(error) = generated::forget(&state_dir, &cluster, &id) {
                    tracing::warn!(%cluster, %error, "files that are pushed cannot be removed from the state directory");
                }
            }
        });
        // What is left is only a copy of what the branch has.
        let _ = forgetting.await;
    }
}
