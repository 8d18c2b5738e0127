//! The daemon's way to its BMCs: at most one operation at a time on each, and few enough over all.
//!
//! | | |
//! |---|---|
//! | `config` | how BMCs are reached, and how much is asked of them |
//! | `entry` | what is kept for each BMC: who speaks to it now, and the session for the next operation |
//! | `session` | opens a session, after the one that a crash left open has been ended |
//!
//! A session is kept between the actions of a host's flow, which follow each other within seconds, and closed when it has
//! been idle, when the flow ends, and when the daemon stops. Its URI is journaled before it is used, so that the next run
//! of the daemon can end one that a crash left open; its token is never written down.
//!
//! An account that was refused is not tried again, because the plan does not choose it again: the refusal is the action's
//! outcome, and journaled as such. A crash between a refusal and its record costs one more try.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::endpoint::{Endpoint, IpmiAfter};
use super::order::Order;
use super::protocol::{self, via_redfish_or_ipmi};
use crate::drive::JournalFact;
use crate::model::{Action, Event, Fault, HostSpec, Outcome, PowerState, Protocol, Reason, World};
use crate::plan;

mod config;
mod entry;
mod session;

use config::Shared;
pub use config::{Limits, PoolConfig};
use entry::{Entry, State};

/// Every BMC that the daemon has spoken to.
pub struct BmcPool {
    shared: Arc<Shared>,
    entries: Mutex<BTreeMap<(IpAddr, u16), Arc<Entry>>>,
    /// Those who close idle sessions. They end with the pool.
    watches: Mutex<JoinSet<()>>,
}

impl BmcPool {
    /// Nothing is asked yet. `journal` is told of sessions before they are used, and after they have ended.
    pub fn new(config: PoolConfig, journal: JournalFact) -> Self {
        let slots = Semaphore::new(config.limits.at_once.max(1));
        let places = Arc::new(Semaphore::new(config.limits.kept));
        let shared = Arc::new(Shared { config, journal, slots, places });
        BmcPool { shared, entries: Mutex::default(), watches: Mutex::default() }
    }

    /// Carries out an action on a host's BMC, once, with the account that the World suggests.
    pub async fn perform(&self, action: &Action, world: &World) -> Result<Outcome, Fault> {
        let no_such_host = || Fault::permanent(Reason::NoSuchHost, "the host is no longer in the repository");
        let host = action.host().ok_or_else(no_such_host)?;
        let spec = world.spec(host).ok_or_else(no_such_host)?;
        if !spec.has_bmc() && matches!(action, Action::Finish { .. }) {
            return Ok(Outcome::Finished(PowerState::Unknown));
        }
        let order = match action {
            Action::Release { .. } => None,
            _ => Some(Order::of(action, world).ok_or_else(no_such_host)?),
        };
        let endpoint = self.endpoint(spec, world)?;
        let entry = self.entries().entry((endpoint.address, endpoint.port)).or_default().clone();
        let mut state = entry.acquire(&endpoint, &self.shared.config.limits).await?;
        let slot = self.slot().await?;
        let result = match &order {
            Some(order) => self.carry_out(&entry, &mut state, &endpoint, order).await,
            None => self.end_left_open(&entry, &mut state, &endpoint).await.map(|()| Outcome::Released),
        };
        drop(slot);
        // The flow is over; a session that is kept would only be in the way of others.
        let done = match order {
            None => true,
            Some(order) => matches!(order, Order::Finish { .. }) && result.is_ok(),
        };
        self.keep_or_close(&mut state, done).await;
        result
    }

    fn endpoint(&self, spec: &HostSpec, world: &World) -> Result<Endpoint, Fault> {
        let config = &self.shared.config;
        let endpoint = Endpoint::of(spec, world.facts_of(&spec.id), &config.tls)?;
        let ipmi_after = match plan::bmc::stays(world, &spec.id, Reason::ConnectionRefused) {
            true => IpmiAfter::Refusal,
            false => IpmiAfter::OtherService,
        };
        Ok(Endpoint {
            ipmi_after,
            port: config.port,
            ipmi_port: config.ipmi_port,
            state_dir: config.state_dir.clone(),
            transport: (config.transport)(&endpoint.host, endpoint.address),
            ..endpoint
        })
    }

    async fn carry_out(
        &self,
        entry: &Arc<Entry>,
        state: &mut State,
        endpoint: &Endpoint,
        order: &Order,
    ) -> Result<Outcome, Fault> {
        if endpoint.protocol == Protocol::Ipmi {
            state.end_open(&self.shared).await;
        }
        let spoken = via_redfish_or_ipmi(endpoint, self.session(entry, state, endpoint)).await?;
        match protocol::carry_out(&spoken, endpoint, order).await {
            Ok((outcome, None)) => Ok(outcome),
            Ok((outcome, Some(note))) => {
                (self.shared.journal)(Event::BmcNoted { host: endpoint.host.clone(), note }).await;
                Ok(outcome)
            }
            Err(fault) => {
                if fault.reason == Reason::SessionLost {
                    state.lost(&self.shared).await;
                }
                Err(fault)
            }
        }
    }

    /// Closes every session that is kept, once nobody uses it.
    pub async fn close(&self) {
        let entries: Vec<Arc<Entry>> = self.entries().values().cloned().collect();
        join_all(entries.iter().map(|entry| entry.close(&self.shared))).await;
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, BTreeMap<(IpAddr, u16), Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of the operations that may be under way at once.
    async fn slot(&self) -> Result<SemaphorePermit<'_>, Fault> {
        let limits = &self.shared.config.limits;
        timeout(limits.wait, self.shared.slots.acquire()).await.ok().and_then(Result::ok).ok_or_else(|| {
            let message = format!("{} BMCs are in use (bmc.concurrency), and none was done in time", limits.at_once);
            Fault::transient(Reason::BmcSlots, message)
        })
    }

    /// Keeps the session for the next operation, while there are places.
    async fn keep_or_close(&self, state: &mut State, done: bool) {
        if let Some(open) = &mut state.open {
            if open.place.is_none() {
                open.place = self.shared.places.clone().try_acquire_owned().ok();
            }
            if done || open.place.is_none() {
                state.close(&self.shared).await;
            }
        }
        state.over();
    }

    /// Sees to it that the session of this BMC is closed when it is idle, even when this operation is given up.
    #[allow(clippy::disallowed_methods, reason = "the JoinSet of watches is owned here")]
    fn watch(&self, entry: &Arc<Entry>, state: &mut State) {
        if !std::mem::replace(&mut state.watched, true) {
            let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
            while watches.try_join_next().is_some() {}
            watches.spawn(entry.clone().close_when_idle(self.shared.clone()));
        }
    }
}
