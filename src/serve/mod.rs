//! Floor 3: machines and people call us. Servers read the World and send Events; they never act and never decide.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::model::{Event, Time, Verdict, World};
use crate::settings::Settings;

pub mod api;
pub mod claim;
pub mod counters;
pub mod dhcp;
pub mod files;
pub mod http;
pub mod images;
pub mod tftp;
pub mod trace;
mod udp;

/// An event on its way to the daemon's loop, and where its verdict goes once the event is durable.
pub struct Signal {
    pub event: Event,
    /// Told after the journal has it.
    pub ack: Option<oneshot::Sender<Verdict>>,
}

/// The bounded way into the daemon's loop.
#[derive(Clone)]
pub struct Inbox(mpsc::Sender<Signal>);

/// Why a fact was not taken: the loop is overloaded or stopping. The client should try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the daemon is busy or stopping")]
pub struct Busy;

impl Inbox {
    /// How many facts may wait.
    pub const DEPTH: usize = 4096;
    /// How long a bringer waits for its verdict.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// An inbox and its other end.
    pub fn new() -> (Inbox, mpsc::Receiver<Signal>) {
        let (sender, receiver) = mpsc::channel(Self::DEPTH);
        (Inbox(sender), receiver)
    }

    /// Brings a fact and waits until it is durable.
    pub async fn tell(&self, event: Event) -> Result<Verdict, Busy> {
        let (ack, verdict) = oneshot::channel();
        let told = async {
            self.0.send(Signal { event, ack: Some(ack) }).await.map_err(|_| Busy)?;
            verdict.await.map_err(|_| Busy)
        };
        tokio::time::timeout(Self::PATIENCE, told).await.map_err(|_| Busy)?
    }

    /// Brings a fact that nobody waits for; dropped when the inbox is full.
    pub fn hint(&self, event: Event) {
        if self.0.try_send(Signal { event, ack: None }).is_err() {
            tracing::warn!("inbox full: a hint was dropped");
        }
    }
}

/// What every server is given.
#[derive(Clone)]
pub struct Context {
    pub view: watch::Receiver<Arc<World>>,
    pub inbox: Inbox,
    /// The one clock, as a function; owned by the daemon.
    pub clock: fn() -> Time,
    pub settings: Arc<Settings>,
    /// What each machine asked for lately.
    pub trace: Arc<trace::Trace>,
    /// Static files, for TFTP and HTTP alike.
    pub library: Arc<files::Library>,
}

impl Context {
    /// What the servers of one daemon share.
    pub fn new(
        view: watch::Receiver<Arc<World>>,
        inbox: Inbox,
        clock: fn() -> Time,
        settings: Arc<Settings>,
    ) -> Context {
        let library = Arc::new(files::Library::new(&settings));
        let trace = Arc::new(trace::Trace::new(clock()));
        Context { view, inbox, clock, settings, trace, library }
    }

    /// Notes a step of the boot chain of the machine at `source`, when the address is leased to one.
    pub fn note_at(&self, source: IpAddr, exchange: impl FnOnce() -> trace::Exchange) {
        if let Some(mac) = crate::plan::boot::host_by_address(&self.world(), source) {
            self.trace.note(mac, self.now(), exchange());
        }
    }

    /// The World as it is now.
    pub fn world(&self) -> Arc<World> {
        self.view.borrow().clone()
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        (self.clock)()
    }
}
