//! What is kept for each BMC: whoever holds its state speaks to it, and nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout};

use super::config::{Limits, Shared};
use crate::drive::bmc::endpoint::{Endpoint, Tls};
use crate::drive::bmc::lock::BmcLock;
use crate::drive::bmc::redfish::Session;
use crate::model::{Event, Fault, Reason};

/// How many times in a row a BMC may answer with an error when a session is to be ended, until another is opened beside
/// it.
const MOST_ERRORS: u32 = 3;

#[derive(Default)]
pub(super) struct Entry {
    state: Mutex<State>,
    waiting: AtomicUsize,
}

/// What is known of a BMC, for whoever may speak to it.
#[derive(Default)]
pub(super) struct State {
    /// The session that is open. It is here even while it is used, so that it is not lost with an operation that is given
    /// up in the middle.
    pub open: Option<OpenSession>,
    /// A session of ours that may be open there, and that could not be closed: it is ended before another is opened.
    pub left: Option<String>,
    /// The session that the BMC last answered with an error when it was to be ended, and how many times in a row.
    errors: Option<(String, u32)>,
    /// The session that was ended last: the journal may have been read before that.
    pub ended: Option<String>,
    /// Held as long as a session is open: other processes must not have one beside it.
    lock: Option<BmcLock>,
    /// The end of the last operation.
    last: Option<Instant>,
    /// Whether a task waits to close the session when it is idle.
    pub watched: bool,
}

pub(super) struct OpenSession {
    pub session: Session,
    /// One of the places for sessions that are kept; without one it is closed after the operation.
    pub place: Option<OwnedSemaphorePermit>,
}

impl OpenSession {
    /// Whether it is the one that would be opened for this endpoint now.
    pub fn fits(&self, endpoint: &Endpoint) -> bool {
        let ours = self.session.endpoint();
        let same_tls = ours.tls == endpoint.tls
            || matches!((&ours.tls, &endpoint.tls), (Tls::Pin(None), Tls::Pin(pin)) if *pin == self.session.pin());
        same_tls && ours.account == endpoint.account && ours.host == endpoint.host && ours.username == endpoint.username
    }
}

/// Counts who waits, also when the wait is given up.
struct Waiting<'s>(&'s AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Entry {
    /// Waits for the right to speak to it: for a bounded time, and with few others.
    pub async fn acquire(&self, endpoint: &Endpoint, limits: &Limits) -> Result<MutexGuard<'_, State>, Fault> {
        let busy = || Fault::transient(Reason::BmcInUse, format!("another operation uses {}", endpoint.who()));
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= limits.queue {
            return Err(busy());
        }
        let mut state = timeout(limits.wait, self.state.lock()).await.map_err(|_| busy())?;
        if state.lock.is_none() {
            state.lock = endpoint.lock(limits.wait).await?;
        }
        if let Some(last) = state.last {
            sleep_until(last + limits.pause).await;
        }
        Ok(state)
    }

    /// Closes the session once it has been idle for long enough.
    pub async fn close_when_idle(self: Arc<Self>, shared: Arc<Shared>) {
        loop {
            let due = {
                let mut state = self.state.lock().await;
                let due = state.last.unwrap_or_else(Instant::now) + shared.config.limits.idle;
                if state.open.is_none() || due <= Instant::now() {
                    state.close(&shared).await;
                    state.watched = false;
                    return;
                }
                due
            };
            sleep_until(due).await;
        }
    }

    /// Closes the session now, once nobody uses it.
    pub async fn close(&self, shared: &Shared) {
        self.state.lock().await.close(shared).await;
    }
}

impl State {
    pub fn over(&mut self) {
        self.last = Some(Instant::now());
        if self.open.is_none() {
            self.lock = None;
        }
    }

    /// The BMC no longer knows the session.
    pub async fn lost(&mut self, shared: &Shared) {
        if let Some(open) = self.open.take() {
            self.gone(shared, &open.session).await;
        }
    }

    /// Ends the session, and releases the BMC for other processes.
    pub async fn close(&mut self, shared: &Shared) {
        self.end_open(shared).await;
        self.over();
    }

    /// Ends the session. A BMC that did not answer may still have it open: then the journal keeps it, and it is ended
    /// before another is opened.
    pub async fn end_open(&mut self, shared: &Shared) {
        let Some(OpenSession { session, .. }) = self.open.take() else { return };
        let ended = match session.uri() {
            Some(uri) => session.end(uri).await,
            None => Ok(()),
        };
        match ended {
            Ok(()) => self.gone(shared, &session).await,
            Err(fault) => {
                tracing::debug!(host = %session.endpoint().host, %fault, "a BMC session could not be closed");
                self.left = session.uri().map(str::to_owned);
            }
        }
    }

    /// Whether the BMC has answered with an error often enough, when this session was to be ended, that it is given up.
    /// Counted for this session alone: a BMC that was busy with other things may well end it yet.
    pub fn gives_up(&mut self, uri: &str, fault: &Fault) -> bool {
        if fault.reason != Reason::BmcError {
            return false;
        }
        let times = self.errors.take().filter(|(last, _)| last == uri).map_or(0, |(_, times)| times) + 1;
        self.errors = Some((uri.to_owned(), times));
        times >= MOST_ERRORS
    }

    async fn gone(&mut self, shared: &Shared, session: &Session) {
        if let Some(uri) = session.uri() {
            self.ended = Some(uri.to_owned());
            (shared.journal)(Event::BmcSession { host: session.endpoint().host.clone(), session: None }).await;
        }
    }
}
