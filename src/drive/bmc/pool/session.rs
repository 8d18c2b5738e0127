//! The session that an operation uses: the one that is kept, or a new one after the one that a crash left open was ended.

use std::sync::Arc;

use super::BmcPool;
use super::entry::{Entry, OpenSession, State};
use crate::drive::bmc::endpoint::Endpoint;
use crate::drive::bmc::redfish::Session;
use crate::model::{Event, Fault, FaultClass, Protocol, Reason};

impl BmcPool {
    /// The session that is kept, if it would be opened the same way now, or a new one.
    pub(super) async fn session<'s>(
        &self,
        entry: &Arc<Entry>,
        state: &'s mut State,
        endpoint: &Endpoint,
    ) -> Result<&'s Session, Fault> {
        if !state.open.as_ref().is_some_and(|open| open.fits(endpoint)) {
            state.end_open(&self.shared).await;
            let left = end_by_password(state, endpoint).await?;
            self.open(entry, state, endpoint, left).await?;
        }
        let open = state.open.as_ref().map(|open| &open.session);
        open.ok_or_else(|| Fault::transient(Reason::SessionLost, "the session is gone"))
    }

    /// Ends the session that a previous run of the daemon left open, where there is one.
    pub(super) async fn end_left_open(
        &self,
        entry: &Arc<Entry>,
        state: &mut State,
        endpoint: &Endpoint,
    ) -> Result<(), Fault> {
        let left = match endpoint.protocol {
            Protocol::Ipmi | Protocol::None => None,
            Protocol::Auto | Protocol::Redfish => end_by_password(state, endpoint).await?,
        };
        if left.is_some() {
            return self.open(entry, state, endpoint, left).await;
        }
        if state.open.is_none() {
            (self.shared.journal)(Event::BmcSession { host: endpoint.host.clone(), session: None }).await;
        }
        Ok(())
    }

    /// Logs in, and ends by the new token the session that could not be ended without one.
    async fn open(
        &self,
        entry: &Arc<Entry>,
        state: &mut State,
        endpoint: &Endpoint,
        left: Option<String>,
    ) -> Result<(), Fault> {
        let session = Session::open(endpoint.clone()).await?;
        let uri = session.uri().map(str::to_owned);
        let open = state.open.insert(OpenSession { session, place: None });
        if let Some(left) = left {
            if let Err(fault) = open.session.end(&left).await {
                tracing::debug!(host = %endpoint.host, %fault, "a session of a previous run could not be ended");
            }
            state.ended = Some(left);
        }
        state.left = None;
        self.watch(entry, state);
        if let Some(uri) = uri {
            let session = Some((uri, endpoint.account.clone()));
            (self.shared.journal)(Event::BmcSession { host: endpoint.host.clone(), session }).await;
        }
        Ok(())
    }
}

/// Ends a session that was left open, with the account's password: no second one is opened beside it. Gives its URI
/// where that takes a token.
async fn end_by_password(state: &mut State, endpoint: &Endpoint) -> Result<Option<String>, Fault> {
    let open = state.open.as_ref().and_then(|open| open.session.uri());
    let journaled = endpoint.journaled.as_deref();
    let journaled = journaled.filter(|uri| state.ended.as_deref() != Some(*uri) && open != Some(*uri));
    let Some(uri) = state.left.as_deref().or(journaled).map(str::to_owned) else { return Ok(None) };
    match Session::end_by_password(endpoint.clone(), &uri).await {
        Ok(true) => {
            state.left = None;
            state.ended = Some(uri);
            Ok(None)
        }
        Ok(false) => Ok(Some(uri)),
        // The BMC answers, but not to this: a new session is opened all the same.
        Err(fault) if fault.class == FaultClass::Permanent || state.gives_up(&uri, &fault) => Ok(Some(uri)),
        Err(fault) => Err(fault),
    }
}
