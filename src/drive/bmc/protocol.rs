//! Redfish or IPMI: the one place that decides.
//!
//! The repository says it (`bmc.protocol`), or what has answered before ([`plan::bmc::protocol`](crate::plan::bmc::protocol)).
//! Where both leave it open, Redfish is tried, and IPMI only after an answer that shows that there is no Redfish. A network
//! boot that Redfish does not offer is ordered over IPMI.

use super::endpoint::{Endpoint, IpmiAfter};
use super::ipmi::{self, Ipmitool};
use super::order::Order;
use super::redfish::{self, Session};
use crate::model::{Fault, FaultClass, Outcome, Protocol, Reason};

impl Endpoint {
    /// Whether IPMI is used after this fault of opening a Redfish session.
    fn has_no_redfish(&self, fault: &Fault) -> bool {
        self.protocol == Protocol::Auto
            && match fault.reason {
                Reason::NotRedfish | Reason::NoTls => true,
                Reason::ConnectionRefused => self.ipmi_after >= IpmiAfter::Refusal,
                Reason::Unreachable => self.ipmi_after >= IpmiAfter::Silence,
                _ => false,
            }
    }
}

pub(super) enum Spoken<S> {
    Redfish(S),
    /// IPMI, and where Redfish was tried, why it is not used.
    Ipmi(Box<Ipmitool>, Option<Fault>),
}

/// Redfish, by `session`, or IPMI.
pub(super) async fn via_redfish_or_ipmi<S>(
    endpoint: &Endpoint,
    session: impl Future<Output = Result<S, Fault>>,
) -> Result<Spoken<S>, Fault> {
    let ipmi = |why| Ok(Spoken::Ipmi(Box::new(Ipmitool::new(endpoint.clone())), why));
    if endpoint.protocol == Protocol::Ipmi {
        return ipmi(None);
    }
    match session.await {
        Err(fault) if endpoint.has_no_redfish(&fault) => ipmi(Some(fault)),
        other => other.map(Spoken::Redfish),
    }
}

/// Carries out one order, and says when that was done over IPMI although the BMC speaks Redfish.
pub(super) async fn carry_out(
    spoken: &Spoken<&Session>,
    endpoint: &Endpoint,
    order: &Order,
) -> Result<(Outcome, Option<String>), Fault> {
    match spoken {
        Spoken::Ipmi(bmc, no_redfish) => match (ipmi::carry_out(bmc, order).await, no_redfish) {
            (Err(fault), Some(first)) => {
                Err(Fault { message: format!("{}; {}", first.message, fault.message), ..fault })
            }
            (result, _) => result.map(|outcome| (outcome, None)),
        },
        Spoken::Redfish(session) => match redfish::carry_out(session, order).await {
            Err(fault) if fault.reason == Reason::PxeNotSupported && matches!(order, Order::Arm { .. }) => {
                arm_over_ipmi(endpoint, order, fault).await
            }
            result => result.map(|outcome| (outcome, None)),
        },
    }
}

/// A network boot that Redfish does not offer. An account that is refused over IPMI is not tried again: Redfish accepts
/// it, and IPMI will not before somebody has looked.
async fn arm_over_ipmi(endpoint: &Endpoint, order: &Order, fault: Fault) -> Result<(Outcome, Option<String>), Fault> {
    match ipmi::carry_out(&Ipmitool::new(endpoint.clone()), order).await {
        Ok(outcome) => Ok((outcome, Some(format!("network boot is ordered by IPMI: {}", fault.message)))),
        Err(other) if other.reason == Reason::OutcomeUnknown => Err(other),
        Err(other) => {
            let class = if other.class == FaultClass::Operator { FaultClass::Operator } else { fault.class };
            Err(Fault { class, message: format!("{}; {}", fault.message, other.message), ..fault })
        }
    }
}
