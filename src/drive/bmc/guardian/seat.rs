//! One seat for each BMC: whoever sits there speaks to it, and nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Limits, Shared};
use crate::drive::bmc::redfish::{Session, Tls};
use crate::drive::bmc::{Target, Turn};
use crate::model::{Digest, Event, Fault, Reason};

/// How many times in a row a BMC may answer with an error when a session is to be ended, until another is opened beside
/// it.
const STUBBORN: u32 = 3;

/// One BMC, as seen from here.
#[derive(Default)]
pub(super) struct Seat {
    state: Mutex<State>,
    waiting: AtomicUsize,
}

/// What is known of a BMC while nobody else may speak to it.
#[derive(Default)]
pub(super) struct State {
    /// The session that is open, kept for the next operation. It is here even while it is used, so that it is not lost
    /// with an operation that is given up in the middle.
    pub kept: Option<Kept>,
    /// A session of ours that may be open there, and that could not be closed: it is ended before another is opened.
    pub left: Option<String>,
    /// The session that the BMC last answered with an error when it was to be ended, and how many times in a row.
    stubborn: Option<(String, u32)>,
    /// The session that was ended last: the journal may have been read before that.
    pub ended: Option<String>,
    /// Held as long as a session is kept: other processes must not have one beside it.
    turn: Option<Turn>,
    /// The end of the last operation.
    last: Option<Instant>,
    /// Whether somebody waits to close the session that is kept.
    pub watched: bool,
}

/// A session that is kept.
pub(super) struct Kept {
    /// The session.
    pub session: Session,
    /// The account it was opened with.
    pub account: Digest,
    /// One of the places for sessions that are kept; without one it is closed after the operation.
    pub place: Option<OwnedSemaphorePermit>,
}

impl Kept {
    /// Whether it is the one that would be opened for this target now.
    pub fn fits(&self, target: &Target, account: &Digest) -> bool {
        let kept = self.session.target();
        let same_tls = kept.tls == target.tls
            || matches!((&kept.tls, &target.tls), (Tls::Pin(None), Tls::Pin(pin)) if *pin == self.session.pin());
        same_tls && self.account == *account && kept.host == target.host && kept.username == target.username
    }
}

/// Counts who waits, also when the wait is given up.
struct Waiting<'s>(&'s AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Seat {
    /// Waits for the seat: for a bounded time, and with few others.
    pub async fn sit(&self, limits: &Limits, target: &Target, shared: &Shared) -> Result<MutexGuard<'_, State>, Fault> {
        let busy = || {
            let message = format!("the BMC of {} at {} is being spoken to", target.host, target.address);
            Fault::transient(Reason::BmcInUse, message)
        };
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= limits.queue {
            return Err(busy());
        }
        let mut state = timeout(limits.turn, self.state.lock()).await.map_err(|_| busy())?;
        if state.turn.is_none()
            && let Some(dir) = &shared.state_dir
        {
            state.turn = Some(Turn::take(dir, target.address, limits.turn).await?);
        }
        if let Some(last) = state.last {
            sleep_until(last + limits.pause).await;
        }
        Ok(state)
    }

    /// Closes the session that is kept once it has been idle for long enough.
    pub async fn watch(self: Arc<Self>, shared: Arc<Shared>) {
        loop {
            let due = {
                let mut state = self.state.lock().await;
                let due = state.last.unwrap_or_else(Instant::now) + shared.limits.idle;
                if state.kept.is_none() || due <= Instant::now() {
                    state.close(&shared).await;
                    state.watched = false;
                    return;
                }
                due
            };
            sleep_until(due).await;
        }
    }

    /// Closes the session that is kept now, once nobody uses it.
    pub async fn leave(&self, shared: &Shared) {
        self.state.lock().await.close(shared).await;
    }
}

impl State {
    /// An operation is over.
    pub fn over(&mut self) {
        self.last = Some(Instant::now());
        if self.kept.is_none() {
            self.turn = None;
        }
    }

    /// The session that is kept is no longer known to the BMC.
    pub async fn lost(&mut self, shared: &Shared) {
        if let Some(kept) = self.kept.take() {
            self.gone(shared, &kept).await;
        }
    }

    /// Ends the session that is kept, and gives the BMC free for other processes.
    pub async fn close(&mut self, shared: &Shared) {
        self.end_kept(shared).await;
        self.over();
    }

    /// Ends the session that is kept. A BMC that did not answer may still have it open: then the journal keeps it, and it
    /// is ended before another is opened.
    pub async fn end_kept(&mut self, shared: &Shared) {
        if let Some(kept) = self.kept.take() {
            let ended = match kept.session.uri() {
                Some(uri) => kept.session.end(uri).await,
                None => Ok(()),
            };
            match ended {
                Ok(()) => self.gone(shared, &kept).await,
                Err(fault) => {
                    tracing::debug!(host = %kept.session.target().host, %fault, "a BMC session could not be closed");
                    self.left = kept.session.uri().map(str::to_owned);
                }
            }
        }
    }

    /// Notes that a session could not be ended; says whether the BMC has answered so to it often enough that it is given
    /// up. Counted for this session alone: a BMC that was busy with other things may well end it yet.
    pub fn kept_open(&mut self, uri: &str, fault: &Fault) -> bool {
        if fault.reason != Reason::BmcError {
            return false;
        }
        let times = self.stubborn.take().filter(|(last, _)| last == uri).map_or(0, |(_, times)| times) + 1;
        self.stubborn = Some((uri.to_owned(), times));
        times >= STUBBORN
    }

    async fn gone(&mut self, shared: &Shared, kept: &Kept) {
        if let Some(uri) = kept.session.uri() {
            self.ended = Some(uri.to_owned());
            (shared.tell)(Event::BmcSession { host: kept.session.target().host.clone(), session: None }).await;
        }
    }
}
