//! What is known of the BMCs, as the daemon knows it: from its journal and mirror on this machine or, where there is
//! none, from the repository and its status branch.

use std::sync::Arc;

use anyhow::anyhow;

use crate::cli::{replay, source};
use crate::drive::git::Git;
use crate::model::{Action, Event, Fault, Outcome, StatusBranch, World};
use crate::plan;
use crate::settings::{Settings, without_credentials};

/// The World: addresses, pins and accounts as they are known. Nothing is changed.
pub async fn world(settings: &Settings) -> anyhow::Result<World> {
    match of_daemon(settings) {
        Some(world) => Ok(world),
        None => of_repository(settings).await,
    }
}

/// What the daemon's journal amounts to, if there is one that this user can read and a revision is in force.
pub fn of_daemon(settings: &Settings) -> Option<World> {
    let path = settings.state_dir.join("journal.db");
    if !path.exists() {
        return None;
    }
    match replay::fold(&path, settings) {
        Ok((world, ..)) => Some(world).filter(|world| world.desired.is_some()),
        Err(error) => {
            tracing::info!("the daemon's journal cannot be read ({error:#}); the repository is asked");
            None
        }
    }
}

/// The repository's watched branch, and what its status branch says of the machines.
async fn of_repository(settings: &Settings) -> anyhow::Result<World> {
    let url = without_credentials(&settings.repository.url);
    let failed = |fault: Fault| anyhow!("{url}: {}", fault.message);
    let dir = tempfile::tempdir()?;
    let git = Git::at(&settings.repository, dir.path()).map_err(failed)?;
    let head = git.fetch().await.map_err(failed)?;
    let tree = git.tree(&head).map_err(failed)?;
    let loaded = source::load(&tree, Some(settings), None, Some(head));
    let Some(desired) = loaded.desired else {
        return Err(anyhow!("{url}: the head of {} has errors; see `rackwright validate`", settings.repository.branch));
    };
    let mut world = World::new(Arc::new(settings.policy()));
    if let Some(files) = git.read_status().await.map_err(failed)? {
        let branch = StatusBranch::read(&files).map_err(|why| anyhow!("{url}: {why}"))?;
        let result = Ok(Outcome::Adopted(Some(branch)));
        plan::reduce(&mut world, &Event::Ended { action: Action::Adopt, result }, crate::cli::now());
    }
    world.desired = Some(Arc::new(desired));
    Ok(world)
}
