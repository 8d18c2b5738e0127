//! The only door to BMCs: at most one operation on each at a time, and few enough over all.
//!
//! | | |
//! |---|---|
//! | `order` | what an action of the plan asks, where, and with which account |
//! | `seat` | one for each BMC: who speaks to it now, and the session that is kept for the next operation |
//! | `way` | Redfish or IPMI; the session that a crash left open is ended before another is opened |
//!
//! A session is kept between the actions of a host's flow, which follow each other within seconds, and closed when it has
//! been idle, when the flow ends, and when the daemon stops. Its URI is journaled before it is used, so that the next
//! daemon can end one that a crash left open; its token is never written down.
//!
//! Nothing here retries. An account that was refused is not tried again, because the plan does not choose it again: the
//! refusal is the action's outcome, and journaled as such. A crash between a refusal and its record costs one more try.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::target::{Order, Patience, Target, Via};
use crate::model::{Action, Event, Fault, HostId, Outcome, PowerState, Reason, World};
use crate::settings::BmcTls;

mod order;
mod seat;
mod way;

use order::{no_such_host, order};
use seat::Seat;

/// Journals a fact; resolves once it is durable.
pub type Tell = Arc<dyn Fn(Event) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The way to a host's BMC at its address.
type Way = Box<dyn Fn(&HostId, IpAddr) -> Via + Send + Sync>;

/// How much is asked of BMCs at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Operations at once, over all BMCs. The plan has a limit of its own; this one also holds for people's commands.
    pub at_once: usize,
    /// Operations that may wait for one BMC.
    pub queue: usize,
    /// How long one of them waits for its turn.
    pub turn: Duration,
    /// From the end of one operation on a BMC to the beginning of the next.
    pub pause: Duration,
    /// How long a session is kept for the next operation. Shorter than the time between two looks at what a preparation
    /// has begun: a machine that takes half an hour for its settings is free for people's commands in between.
    pub idle: Duration,
    /// Sessions kept at once. Each is an open connection and an open lock file.
    pub kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            at_once: 32,
            queue: 8,
            turn: Duration::from_secs(45),
            pause: Duration::from_millis(200),
            idle: Duration::from_secs(20),
            kept: 64,
        }
    }
}

/// What operations and whoever closes idle sessions share.
struct Shared {
    limits: Limits,
    state_dir: Option<PathBuf>,
    tell: Tell,
    slots: Semaphore,
    places: Arc<Semaphore>,
}

/// One guardian for every BMC.
pub struct Guardians {
    tls: BmcTls,
    port: u16,
    ipmi_port: u16,
    patience: Patience,
    way: Way,
    seats: Mutex<BTreeMap<(IpAddr, u16), Arc<Seat>>>,
    shared: Arc<Shared>,
    /// Those who close idle sessions. They end with the guardians.
    watches: Mutex<JoinSet<()>>,
}

impl Guardians {
    /// Guardians that reach BMCs over the network, at this port.
    pub fn new(tls: BmcTls, port: u16, tell: Tell) -> Self {
        let way = Box::new(|_: &HostId, _| Via::Network);
        let shared = Shared::new(Limits::default(), None, tell);
        Guardians {
            tls,
            port,
            ipmi_port: 623,
            patience: Patience::default(),
            way,
            seats: Mutex::default(),
            shared: Arc::new(shared),
            watches: Mutex::default(),
        }
    }

    /// The same with another UDP port of IPMI.
    pub fn with_ipmi_port(mut self, port: u16) -> Self {
        self.ipmi_port = port;
        self
    }

    /// The same with another way to a host's BMC at its address (simulations).
    pub fn by_way(mut self, way: impl Fn(&HostId, IpAddr) -> Via + Send + Sync + 'static) -> Self {
        self.way = Box::new(way);
        self
    }

    /// The same, and one at a time also among processes that share this state directory.
    pub fn locked_in(mut self, state_dir: PathBuf) -> Self {
        self.shared = Arc::new(Shared::new(self.shared.limits.clone(), Some(state_dir), self.shared.tell.clone()));
        self
    }

    /// The same with other limits.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.shared = Arc::new(Shared::new(limits, self.shared.state_dir.clone(), self.shared.tell.clone()));
        self
    }

    /// The same with more or less patience.
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Carries out an action on a host's BMC, once.
    pub async fn perform(&self, action: &Action, world: &World) -> Result<Outcome, Fault> {
        let host = action.host().ok_or_else(|| Fault::permanent(Reason::NotForBmcs, "the action is about no host"))?;
        let spec = world.spec(host).ok_or_else(no_such_host)?;
        if !spec.has_bmc() && matches!(action, Action::Finish { .. }) {
            return Ok(Outcome::Finished(PowerState::Unknown));
        }
        if matches!(action, Action::Release { .. }) {
            return self.release(host, world).await;
        }
        let order = order(action, world).ok_or_else(no_such_host)?;
        self.carry_out(host, &order, world).await
    }

    /// Carries out one order on a host's BMC, with the account that the World suggests.
    pub async fn carry_out(&self, host: &HostId, order: &Order, world: &World) -> Result<Outcome, Fault> {
        let door = self.door(world, host)?;
        let seat = self.seat(&door.target);
        let mut state = seat.sit(&self.shared.limits, &door.target, &self.shared).await?;
        let result = {
            let _slot = self.slot().await?;
            self.by_some_way(&seat, &mut state, door, order).await
        };
        // The flow is over; what is kept would only be in people's way.
        let done = matches!(order, Order::Finish { .. }) && result.is_ok();
        self.keep_or_close(&mut state, done).await;
        result
    }

    /// Ends the session that an earlier life of the daemon left open.
    async fn release(&self, host: &HostId, world: &World) -> Result<Outcome, Fault> {
        let door = self.door(world, host)?;
        let seat = self.seat(&door.target);
        let mut state = seat.sit(&self.shared.limits, &door.target, &self.shared).await?;
        let _slot = self.slot().await?;
        let result = self.end_left_over(&seat, &mut state, &door).await;
        self.keep_or_close(&mut state, true).await;
        result.map(|()| Outcome::Released)
    }

    /// Closes every session that is kept, once nobody uses it.
    pub async fn close(&self) {
        let seats: Vec<Arc<Seat>> = self.seats().values().cloned().collect();
        join_all(seats.iter().map(|seat| seat.leave(&self.shared))).await;
    }

    fn seats(&self) -> std::sync::MutexGuard<'_, BTreeMap<(IpAddr, u16), Arc<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seat(&self, target: &Target) -> Arc<Seat> {
        self.seats().entry((target.address, target.port)).or_default().clone()
    }

    /// One of the operations that may be under way at once.
    async fn slot(&self) -> Result<SemaphorePermit<'_>, Fault> {
        let slot = timeout(self.shared.limits.turn, self.shared.slots.acquire()).await;
        slot.ok().and_then(Result::ok).ok_or_else(|| {
            let message = format!("{} BMCs are being spoken to, and none is done", self.shared.limits.at_once);
            Fault::transient(Reason::BmcSlots, message)
        })
    }

    /// Keeps the session for the next operation, while there are places.
    async fn keep_or_close(&self, state: &mut seat::State, done: bool) {
        if let Some(kept) = &mut state.kept {
            if kept.place.is_none() {
                kept.place = self.shared.places.clone().try_acquire_owned().ok();
            }
            if done || kept.place.is_none() {
                state.close(&self.shared).await;
            }
        }
        state.over();
    }

    /// Sees to it that the session of this seat is closed when it is idle, even when this operation is given up.
    #[allow(clippy::disallowed_methods, reason = "the JoinSet of watches is owned here")]
    fn watch(&self, seat: &Arc<Seat>, state: &mut seat::State) {
        if !std::mem::replace(&mut state.watched, true) {
            let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
            while watches.try_join_next().is_some() {}
            watches.spawn(seat.clone().watch(self.shared.clone()));
        }
    }
}

impl Shared {
    fn new(limits: Limits, state_dir: Option<PathBuf>, tell: Tell) -> Self {
        let slots = Semaphore::new(limits.at_once.max(1));
        let places = Arc::new(Semaphore::new(limits.kept));
        Shared { limits, state_dir, tell, slots, places }
    }
}
