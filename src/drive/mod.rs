//! Floor 3: we call machines. A driver performs one action and reports one outcome (laws 5 and 12).
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::pin::Pin;
use std::sync::Arc;

use crate::model::{
    Action, Desired, Digest, Event, Fault, Fetched, Outcome, Reason, Revision, StatusBranch, Time, World,
};
use crate::plan::{Plan, report};
use crate::repo;
use crate::settings::Settings;

pub mod ansible;
mod blocking;
pub mod bmc;
pub mod forge;
pub mod generated;
pub mod git;
pub mod hook;
mod hosts;
pub mod http;
pub mod image;
pub mod log;
pub mod notify;
mod outward;
mod private;
pub mod process;
pub mod secrets;
pub mod ssh;
pub mod task;

use blocking::blocking;

/// Journals a fact in the middle of an action; resolves once it is durable.
pub type JournalFact = Arc<dyn Fn(Event) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Everything that calls out.
pub(crate) struct Drivers {
    pub git: git::Git,
    http: reqwest::Client,
    images: image::Store,
    pub bmcs: bmc::BmcPool,
    settings: Arc<Settings>,
    secrets: Arc<secrets::Keeper>,
    clock: fn() -> Time,
    tell: JournalFact,
}

/// An action, with the World and the plan it was decided from.
pub(crate) struct Job {
    pub action: Action,
    /// The World at the time of the decision.
    pub world: Arc<World>,
    pub plan: Arc<Plan>,
}

impl Drivers {
    /// Makes the drivers. Nothing is called yet. `tell` journals what must not be lost although its action is not over.
    pub fn new(settings: Arc<Settings>, clock: fn() -> Time, tell: JournalFact) -> Result<Self, Fault> {
        process::mark::sweep_left(&settings.state_dir);
        ansible::sweep(&settings.state_dir);
        let git = git::Git::open(&settings)?;
        let images = image::Store {
            dir: settings.state_dir.join("images"),
            root: settings.network.tftp_root.clone(),
            client: http::downloads()?,
        };
        images.clear();
        hook::clear(&settings.state_dir);
        let bmcs = bmc::PoolConfig {
            port: settings.bmc.port,
            ipmi_port: settings.bmc.ipmi_port,
            limits: bmc::Limits { at_once: settings.bmc.concurrency, ..bmc::Limits::default() },
            state_dir: Some(settings.state_dir.clone()),
            ..bmc::PoolConfig::new(settings.bmc.tls.clone())
        };
        let bmcs = bmc::BmcPool::new(bmcs, tell.clone());
        let secrets = Arc::new(secrets::Keeper::new(&settings));
        Ok(Drivers { git, http: http::client()?, images, bmcs, settings, secrets, clock, tell })
    }

    /// Says when a local repository changes; `None` for one that must be polled.
    pub fn watch(&self) -> Option<git::Watcher> {
        self.git.watch()
    }

    /// Reads and checks the tree of a revision, with the secrets it asks for.
    pub fn load(&self, revision: &Revision, previous: Option<&Desired>) -> Result<repo::Loaded, Fault> {
        let tree = self.git.tree(revision)?;
        let network = &self.settings.network;
        let policy = self.settings.policy();
        let load = |secrets| {
            let context = repo::Context {
                http_base: policy.site.http_base(),
                address: network.address,
                subnets: &network.subnets,
                deploy_username: self.settings.deploy.username.clone(),
                mirror: self.settings.debian.mirror.clone(),
                release: self.settings.debian.release.clone(),
                previous,
                revision: Some(revision.clone()),
                secrets,
            };
            repo::load(&tree, &context)
        };
        Ok(self.secrets.load(&tree, load))
    }

    /// Performs one action, once.
    pub async fn perform(self: Arc<Self>, job: Job) -> Result<Outcome, Fault> {
        match &job.action {
            Action::Adopt => self.adopt().await,
            Action::Fetch => {
                self.forget_pushed(&job.world).await;
                self.clone().fetch(&job.world).await
            }
            Action::FetchImage { image } => self.fetch_image(&job.world, image).await,
            Action::Publish { moves_upto, .. } => self.publish(&job, *moves_upto).await,
            Action::Notify { receiver, notices, .. } => self.notify(receiver, notices).await,
            Action::Note { .. } => Ok(Outcome::Noted),
            Action::Run { .. } => self.run_task(&job.action, &job.world).await,
            Action::Reach { host } => self.reach(host, &job.world).await,
            Action::WriteBack { cluster, generated, revision } => {
                self.write_back(cluster, generated, revision.as_ref(), &job.world).await
            }
            Action::TellForge { cluster, status } => self.tell_forge(cluster.as_ref(), status).await,
            Action::Finish { host, power_off: true } if job.world.spec(host).is_some_and(|spec| !spec.has_bmc()) => {
                self.power_off(host, &job.world).await
            }
            Action::Probe { .. }
            | Action::Prepare { .. }
            | Action::Arm { .. }
            | Action::PowerCycle { .. }
            | Action::Finish { .. }
            | Action::Release { .. } => self.bmcs.perform(&job.action, &job.world).await,
        }
    }

    async fn adopt(&self) -> Result<Outcome, Fault> {
        let Some(files) = self.git.read_status().await? else { return Ok(Outcome::Adopted(None)) };
        let branch = StatusBranch::read(&files).map_err(|why| {
            Fault::permanent(Reason::StatusUnreadable, format!("the status branch cannot be adopted: {why}"))
        })?;
        Ok(Outcome::Adopted(Some(branch)))
    }

    async fn fetch(self: Arc<Self>, world: &World) -> Result<Outcome, Fault> {
        let head = self.git.fetch().await?;
        let rejected = world.rejected.as_ref().map(|rejected| &rejected.revision);
        let in_force = world.desired.as_ref().and_then(|desired| desired.revision.as_ref());
        let known = if rejected.is_some() { rejected } else { in_force };
        let same = known == Some(&head);
        if same && !self.clone().secrets_changed().await {
            return Ok(Outcome::Fetched(Fetched::Unchanged));
        }
        if let Some(finding) = self.git.verify(&head).await? {
            return Ok(Outcome::Fetched(Fetched::Rejected { revision: head, findings: vec![finding] }));
        }
        let previous = world.desired.clone();
        let loading = tokio::task::spawn_blocking(move || {
            let loaded = self.load(&head, previous.as_deref())?;
            Ok(match loaded.desired {
                Some(desired) => Fetched::Loaded { revision: head, desired: Some(Arc::new(desired)) },
                None => Fetched::Rejected { revision: head, findings: loaded.findings },
            })
        });
        let fetched = loading.await.map_err(|_| Fault::permanent(Reason::LoadFailed, "reading the revision failed"))?;
        fetched.map(Outcome::Fetched)
    }

    /// Whether a password file or the like gives something else now: then the same revision is read again.
    async fn secrets_changed(self: Arc<Self>) -> bool {
        tokio::task::spawn_blocking(move || self.secrets.changed()).await.unwrap_or(false)
    }

    async fn publish(&self, job: &Job, moves_upto: u64) -> Result<Outcome, Fault> {
        let (world, plan) = (job.world.clone(), job.plan.clone());
        let files = tokio::task::spawn_blocking(move || report::report(&world, &plan)).await;
        let files = files.map_err(|_| Fault::permanent(Reason::ReportFailed, "making the status files failed"))?;
        let world = job.world.clone();
        // What the branch carries already is not told again: a push may have arrived although nobody heard of it.
        let message = move |rack: Option<&str>| {
            let after = report::sequence(rack).max(world.moves.published);
            report::commit_message(&world, after, moves_upto)
        };
        let commit = self.git.publish_after(&files, (self.clock)(), message).await?;
        Ok(Outcome::Published(commit))
    }

    async fn fetch_image(&self, world: &World, image: &Digest) -> Result<Outcome, Fault> {
        let desired = world.desired.as_ref().filter(|desired| desired.images.contains_key(image));
        let spec = desired.and_then(|desired| desired.images.get(image));
        let (Some(desired), Some(spec)) = (desired, spec) else {
            return Err(Fault::permanent(Reason::NoSuchImage, "the image has left the repository"));
        };
        self.images.sweep(desired).await;
        self.images.ensure(spec).await.map(Outcome::ImageVerified)
    }
}
