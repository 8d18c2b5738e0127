//! Serial over LAN (IPMI 2.0 section 26): the machine's serial console in this terminal.

use super::tool::{Conversation, Kind};
use crate::drive::process::ProcessError;
use crate::model::{Fault, FaultClass};

/// Hands the terminal to the console. The program takes this process's place, so that nothing stands between the terminal
/// and it: control characters go to the machine, and whatever ends us ends it. Comes back only with the reason why not.
///
/// A client that was killed leaves its session open on the BMC, which then refuses the next one; it is closed first.
pub async fn console(bmc: &Conversation, ready: impl FnOnce()) -> Fault {
    match deactivate(bmc).await {
        Err(fault) => return fault,
        Ok(suite) => {
            ready();
            match bmc.console(suite).replace() {
                ProcessError::NotFound(_) => Fault::operator("ProgramMissing", "`ipmitool` is not installed"),
                error => Fault::permanent("ProgramFailed", error.to_string()),
            }
        }
    }
}

/// Closes a session that somebody left open; gives the cipher suite to go on with.
pub(super) async fn deactivate(bmc: &Conversation) -> Result<u8, Fault> {
    match bmc.call(Kind::Look, &["sol", "deactivate"]).await {
        // "Already de-activated" is an error to the program.
        Err(fault) if fault.class != FaultClass::Permanent => Err(fault),
        _ => match bmc.suite() {
            Some(suite) => Ok(suite),
            None => bmc.greet().await,
        },
    }
}
