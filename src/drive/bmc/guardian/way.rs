//! Which protocol an order is carried out in, and the session it is carried out in.

use std::sync::Arc;

use super::Guardians;
use super::order::Door;
use super::seat::{Kept, Seat, State};
use crate::drive::bmc::redfish::{self, Session};
use crate::drive::bmc::{Order, Target, ipmi};
use crate::model::{Event, Fault, FaultClass, Outcome, Protocol, Reason};

impl Guardians {
    /// By Redfish or by IPMI: as the World says, or else by what answers.
    pub(super) async fn by_some_way(
        &self,
        seat: &Arc<Seat>,
        state: &mut State,
        door: Door,
        order: &Order,
    ) -> Result<Outcome, Fault> {
        if door.target.protocol == Protocol::Ipmi {
            state.end_kept(&self.shared).await;
            return by_ipmi(door.target, order).await;
        }
        match self.session(seat, state, &door).await {
            Ok(()) => {}
            Err(fault) if no_redfish(&door, &fault) => {
                let result = by_ipmi(door.target, order).await;
                return result
                    .map_err(|other| Fault { message: format!("{}; {}", fault.message, other.message), ..other });
            }
            Err(fault) => return Err(fault),
        }
        let Some(kept) = &state.kept else { return Err(Fault::transient(Reason::SessionLost, "the session is gone")) };
        match redfish::carry_out(&kept.session, order).await {
            Err(fault) if fault.reason == Reason::SessionLost => {
                state.lost(&self.shared).await;
                Err(fault)
            }
            Err(fault) if fault.reason == Reason::PxeNotSupported && matches!(order, Order::Arm { .. }) => {
                self.arm_by_ipmi(door.target, order, fault).await
            }
            result => result,
        }
    }

    /// A network boot that Redfish does not offer, ordered by IPMI. An account that is refused there is not tried again:
    /// Redfish accepts it, and IPMI will not before a person has looked.
    async fn arm_by_ipmi(&self, target: Target, order: &Order, fault: Fault) -> Result<Outcome, Fault> {
        let host = target.host.clone();
        match by_ipmi(target, order).await {
            Ok(outcome) => {
                let note = format!("network boot is ordered by IPMI: {}", fault.message);
                (self.shared.tell)(Event::BmcNoted { host, note }).await;
                Ok(outcome)
            }
            Err(other) if other.reason == Reason::OutcomeUnknown => Err(other),
            Err(other) => {
                let class = if other.class == FaultClass::Operator { FaultClass::Operator } else { fault.class };
                Err(Fault { class, message: format!("{}; {}", fault.message, other.message), ..fault })
            }
        }
    }

    /// Sees to it that a session is open: the one that is kept, if it would be opened the same way now, or a new one.
    async fn session(&self, seat: &Arc<Seat>, state: &mut State, door: &Door) -> Result<(), Fault> {
        if state.kept.as_ref().is_some_and(|kept| kept.fits(&door.target, &door.account)) {
            return Ok(());
        }
        state.end_kept(&self.shared).await;
        let left = self.end_by_password(state, door).await?;
        self.open(seat, state, door, left).await
    }

    /// Ends the session that an earlier life of the daemon left open, where there is one.
    pub(super) async fn end_left_over(&self, seat: &Arc<Seat>, state: &mut State, door: &Door) -> Result<(), Fault> {
        let left = match door.target.protocol {
            Protocol::Ipmi | Protocol::None => None,
            Protocol::Auto | Protocol::Redfish => self.end_by_password(state, door).await?,
        };
        if left.is_some() {
            return self.open(seat, state, door, left).await;
        }
        if state.kept.is_none() {
            (self.shared.tell)(Event::BmcSession { host: door.target.host.clone(), session: None }).await;
        }
        Ok(())
    }

    /// Logs in, and ends by the new token the session that could not be ended without one.
    async fn open(&self, seat: &Arc<Seat>, state: &mut State, door: &Door, left: Option<String>) -> Result<(), Fault> {
        let session = Session::open(door.target.clone()).await?;
        let uri = session.uri().map(str::to_owned);
        let kept = state.kept.insert(Kept { session, account: door.account.clone(), place: None });
        if let Some(left) = left {
            if let Err(fault) = kept.session.end(&left).await {
                tracing::debug!(host = %door.target.host, %fault, "a session of an earlier life could not be ended");
            }
            state.ended = Some(left);
        }
        state.left = None;
        self.watch(seat, state);
        if let Some(uri) = uri {
            let session = Some((uri, door.account.clone()));
            (self.shared.tell)(Event::BmcSession { host: door.target.host.clone(), session }).await;
        }
        Ok(())
    }

    /// Ends a session that was left open, with the account's password: no second one is opened beside it. Gives its URI
    /// where that takes a token.
    async fn end_by_password(&self, state: &mut State, door: &Door) -> Result<Option<String>, Fault> {
        let kept = state.kept.as_ref().and_then(|kept| kept.session.uri());
        let journaled =
            door.journaled.as_deref().filter(|uri| state.ended.as_deref() != Some(*uri) && kept != Some(*uri));
        let Some(uri) = state.left.as_deref().or(journaled).map(str::to_owned) else { return Ok(None) };
        match Session::end_by_password(door.target.clone(), &uri).await {
            Ok(true) => {
                state.left = None;
                state.ended = Some(uri);
                Ok(None)
            }
            Ok(false) => Ok(Some(uri)),
            // The BMC answers, but not to this: a new session is opened all the same.
            Err(fault) if fault.class == FaultClass::Permanent || state.kept_open(&uri, &fault) => Ok(Some(uri)),
            Err(fault) => Err(fault),
        }
    }
}

/// Whether a fault means that there is no Redfish service, and the repository leaves open what the BMC speaks.
fn no_redfish(door: &Door, fault: &Fault) -> bool {
    let reason = fault.reason;
    door.target.protocol == Protocol::Auto
        && (matches!(reason, Reason::NotRedfish | Reason::NoTls)
            || (reason == Reason::ConnectionRefused && door.stays_refused))
}

async fn by_ipmi(target: Target, order: &Order) -> Result<Outcome, Fault> {
    ipmi::carry_out(&ipmi::Conversation::new(Target { protocol: Protocol::Ipmi, ..target }), order).await
}
