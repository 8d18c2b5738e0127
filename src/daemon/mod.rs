//! Floor 4: the loop. Facts come in, are journaled and folded into the World; the World is planned; the plan's
//! actions are begun. Imports everything below.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::drive::JournalFact;
use crate::drive::{Drivers, Job};
use crate::model::{Action, Event, Fault, Reason, Time, Verdict, World};
use crate::plan;
use crate::serve::{Inbox, Signal};
use crate::settings::Settings;

pub mod clock;
mod compaction;
pub mod journal;
mod replay;
mod servers;

use compaction::Compaction;
use journal::{Journal, JournalError};
pub use replay::replay;

/// Why the daemon could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("{0}: {1}")]
    StateDir(PathBuf, std::io::Error),
    #[error("{0} is in use by another rackwright")]
    InUse(PathBuf),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Dhcp(#[from] crate::serve::dhcp::ServeError),
    #[error(transparent)]
    Tftp(#[from] crate::serve::tftp::ServeError),
    #[error(transparent)]
    Http(#[from] crate::serve::http::ServeError),
    #[error("{0}")]
    Drive(Fault),
    #[error("the {0} server ended unexpectedly")]
    ServerEnded(&'static str),
}

/// How a daemon is started.
#[derive(Debug, Default)]
pub struct Options {
    /// A person says that an empty journal without a status branch is as it should be.
    pub first_run: bool,
    /// Told once everything is bound, with a view of the World: for whoever runs the daemon inside a program.
    pub ready: Option<oneshot::Sender<watch::Receiver<Arc<World>>>>,
}

/// Facts drained and journaled together at most.
const BATCH: usize = 512;
/// The least time from one transaction to the next. A fact that comes alone is journaled at once; of a rack that asks all
/// at once, many share one wait for the disk. Nobody minds so little: a DHCP client waits for seconds.
const PACE: Duration = Duration::from_millis(2);
/// How long actions under way may take to end when the daemon is stopped.
const GRACE: Duration = Duration::from_secs(5);

/// Runs until `stop` resolves. Everything is bound before anything is served.
pub async fn run(settings: Settings, options: Options, stop: impl Future<Output = ()>) -> Result<(), DaemonError> {
    let settings = Arc::new(settings);
    let _lock = lock(&settings.state_dir)?;
    let (inbox, signals) = Inbox::new();
    let drivers = Drivers::new(settings.clone(), clock::now, journaled(inbox.clone())).map_err(DaemonError::Drive)?;
    let drivers = Arc::new(drivers);
    let journal = Journal::open(&settings.state_dir.join("journal.db"))?;
    let world = replay::start(&journal, &drivers, Arc::new(settings.policy()))?;
    let (view, reader) = watch::channel(Arc::new(world.clone()));
    let servers = servers::bind(&settings, inbox, reader).await?;
    if let Some(ready) = options.ready {
        let _ = ready.send(view.subscribe());
    }
    let watcher = drivers.watch();
    let core =
        Core { world, journal, drivers, view, planned: None, compaction: Compaction::default(), tasks: JoinSet::new() };
    tracing::info!(http = %servers.http_addr(), "serving");
    core.run(options.first_run, signals, servers, watcher, stop).await
}

/// Makes the state directory, and sure that nobody else uses it.
fn lock(dir: &Path) -> Result<File, DaemonError> {
    let fail = |error| DaemonError::StateDir(dir.to_owned(), error);
    std::fs::create_dir_all(dir).map_err(fail)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).map_err(fail)?;
    }
    let file = File::create(dir.join("lock")).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DaemonError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(fail(error)),
    }
}

struct Core {
    world: World,
    journal: Journal,
    drivers: Arc<Drivers>,
    view: watch::Sender<Arc<World>>,
    /// The World in which nothing was left to begin, and when to plan again although nothing happens.
    planned: Option<(Arc<World>, Option<Time>)>,
    compaction: Compaction,
    tasks: JoinSet<Event>,
}

/// What ended a wait.
enum Woken {
    Signal(Signal),
    Done(Event),
    Timer,
    Repository,
    Packed(journal::Packed),
    Stop,
}

impl Core {
    async fn run(
        mut self,
        first_run: bool,
        mut signals: mpsc::Receiver<Signal>,
        mut servers: servers::Servers,
        mut watcher: Option<crate::drive::git::Watcher>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), DaemonError> {
        tokio::pin!(stop);
        let mut news: VecDeque<Signal> = VecDeque::from([bare(Event::DaemonStarted)]);
        if first_run {
            news.push_back(bare(Event::FirstRun));
        }
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.take(&mut news)?;
            let wake_at = self.act()?;
            if self.compaction.is_due(&self.journal) {
                self.begin_compaction()?;
            }
            let woken = tokio::select! {
                biased;
                () = &mut stop => Woken::Stop,
                ended = servers.ended() => return Err(DaemonError::ServerEnded(ended)),
                Some(signal) = signals.recv() => Woken::Signal(signal),
                Some(done) = self.tasks.join_next() => Woken::Done(done.unwrap_or_else(|_| Event::Woken)),
                () = changed(&mut watcher) => Woken::Repository,
                packed = self.compaction.packed() => Woken::Packed(packed?),
                () = sleep_until(wake_at) => Woken::Timer,
            };
            match woken {
                Woken::Stop => break,
                Woken::Signal(signal) => news.push_back(signal),
                Woken::Done(event) => news.push_back(bare(event)),
                Woken::Repository => news.push_back(bare(Event::Woken)),
                Woken::Packed(packed) => self.end_compaction(&packed)?,
                Woken::Timer => {}
            }
            pace.tick().await;
            while news.len() < BATCH {
                let Ok(signal) = signals.try_recv() else { break };
                news.push_back(signal);
            }
            while let Some(done) = self.tasks.try_join_next() {
                news.push_back(bare(done.unwrap_or_else(|_| Event::Woken)));
            }
        }
        servers.stop().await;
        self.stop(signals).await
    }

    /// Journals facts in one transaction, folds them, shows the new World, and sends each sender its verdict.
    fn take(&mut self, news: &mut VecDeque<Signal>) -> Result<(), DaemonError> {
        if news.is_empty() {
            return Ok(());
        }
        let now = clock::now();
        tokio::task::block_in_place(|| self.journal.append(now, news.iter().map(|signal| &signal.event)))?;
        let mut acks: Vec<(oneshot::Sender<Verdict>, Verdict)> = Vec::new();
        for signal in news.drain(..) {
            self.keep_revision(&signal.event);
            let verdict = plan::reduce(&mut self.world, &signal.event, now);
            log(&signal.event, &verdict);
            acks.extend(signal.ack.map(|ack| (ack, verdict)));
        }
        self.show();
        for (ack, verdict) in acks {
            // A bringer that has given up in the meantime is told nothing.
            let _ = ack.send(verdict);
        }
        Ok(())
    }

    /// Plans, and begins what the plan says. Returns when to plan again.
    fn act(&mut self) -> Result<Option<Time>, DaemonError> {
        if let Some(wake_at) = self.nothing_new() {
            return Ok(wake_at);
        }
        loop {
            let now = clock::now();
            let plan = Arc::new(plan::plan(&self.world, now));
            debug_assert_eq!(plan::check(&self.world, &plan), Vec::<String>::new());
            if plan.actions.is_empty() {
                self.planned = Some((self.view.borrow().clone(), plan.wake_at));
                return Ok(plan.wake_at);
            }
            let before = Arc::new(self.world.clone());
            let started: Vec<Event> =
                plan.actions.iter().map(|action| Event::Started { action: action.clone() }).collect();
            tokio::task::block_in_place(|| self.journal.append(now, &started))?;
            for event in &started {
                plan::reduce(&mut self.world, event, now);
            }
            self.show();
            for action in &plan.actions {
                self.begin(Job { action: action.clone(), world: before.clone(), plan: plan.clone() });
            }
        }
    }

    /// When to plan again, if the last plan still stands: a rack of strangers or of hosts that renew their leases is not
    /// planned anew for each of them.
    fn nothing_new(&mut self) -> Option<Option<Time>> {
        let (planned, wake_at) = self.planned.as_mut()?;
        let due = wake_at.is_some_and(|at| at <= clock::now());
        let stands = !due && self.world.differs_only_in_leases(planned);
        // The newest copy takes its place, so that no old leases are kept.
        stands.then(|| {
            *planned = self.view.borrow().clone();
            *wake_at
        })
    }

    #[allow(clippy::disallowed_methods, reason = "the JoinSet of actions is owned here")]
    fn begin(&mut self, job: Job) {
        let drivers = self.drivers.clone();
        self.tasks.spawn(async move {
            let action = job.action.clone();
            // A driver that panics must not leave its host waiting for ever: its end is a fault like any other.
            let mut inner = JoinSet::new();
            inner.spawn(async move { drivers.perform(job).await });
            let result = match inner.join_next().await {
                Some(Ok(result)) => result,
                _ => Err(Fault::transient(
                    Reason::DriverFailed,
                    format!("the {} driver failed; see the log", action.kind()),
                )),
            };
            Event::Ended { action, result }
        });
    }

    fn keep_revision(&self, event: &Event) {
        if let Event::Ended { result: Ok(crate::model::Outcome::Fetched(fetched)), .. } = event
            && let crate::model::Fetched::Loaded { revision, .. } = fetched
            && let Err(fault) = self.drivers.git.keep(revision)
        {
            tracing::warn!(%revision, %fault, "the revision could not be pinned in the mirror");
        }
    }

    fn show(&self) {
        self.view.send_replace(Arc::new(self.world.clone()));
    }

    /// A clean stop: what is under way may end, and its end is recorded; what does not end is given up. Then the sessions
    /// on BMCs are closed. Drivers' facts are journaled to the last, for they wait for that.
    async fn stop(mut self, mut signals: mpsc::Receiver<Signal>) -> Result<(), DaemonError> {
        let grace = tokio::time::sleep(GRACE);
        tokio::pin!(grace);
        while !self.tasks.is_empty() {
            let signal = tokio::select! {
                biased;
                () = &mut grace => break,
                Some(signal) = signals.recv() => signal,
                Some(done) = self.tasks.join_next() => bare(done.unwrap_or(Event::Woken)),
            };
            self.take(&mut VecDeque::from([signal]))?;
        }
        self.tasks.shutdown().await;
        let drivers = self.drivers.clone();
        let closing = tokio::time::timeout(GRACE, drivers.bmcs.close());
        tokio::pin!(closing);
        loop {
            let signal = tokio::select! {
                biased;
                Some(signal) = signals.recv() => signal,
                _ = &mut closing => return Ok(()),
            };
            self.take(&mut VecDeque::from([signal]))?;
        }
    }
}

/// How a driver journals what must not be lost although its action is not over.
fn journaled(inbox: Inbox) -> JournalFact {
    Arc::new(move |event| {
        let inbox = inbox.clone();
        Box::pin(async move {
            if inbox.tell(event).await.is_err() {
                tracing::warn!("a driver's fact could not be journaled");
            }
        })
    })
}

fn bare(event: Event) -> Signal {
    Signal { event, ack: None }
}

async fn changed(watcher: &mut Option<crate::drive::git::Watcher>) {
    match watcher {
        Some(watcher) => watcher.changed().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(wake_at: Option<Time>) {
    match wake_at {
        Some(at) => tokio::time::sleep(at.since(clock::now()) + Duration::from_millis(1)).await,
        None => std::future::pending().await,
    }
}

fn log(event: &Event, verdict: &Verdict) {
    match (event, verdict) {
        (Event::Ended { action, result: Err(fault) }, _) => {
            tracing::warn!(action = action.kind().as_str(), host = action.host().map(tracing::field::display), %fault, "failed");
        }
        (Event::Ended { action, result: Ok(_) }, _) => {
            let level_host = action.host().map(tracing::field::display);
            match action {
                Action::Fetch | Action::Publish { .. } => tracing::debug!(action = action.kind().as_str(), "done"),
                _ => tracing::info!(action = action.kind().as_str(), host = level_host, "done"),
            }
        }
        (Event::CheckedIn(checkin), Verdict::Refused(why)) => {
            tracing::warn!(action = checkin.action.as_str(), source = %checkin.source, why, "check-in refused");
        }
        (Event::CheckedIn(checkin), Verdict::Ok) => {
            tracing::info!(action = checkin.action.as_str(), source = %checkin.source, "check-in");
        }
        (Event::Claimed { mac, .. }, Verdict::Ok) => tracing::info!(%mac, "claimed"),
        (Event::Claimed { mac, .. }, Verdict::Refused(why)) => tracing::warn!(%mac, why, "claim refused"),
        _ => tracing::trace!(?event, "event"),
    }
}
