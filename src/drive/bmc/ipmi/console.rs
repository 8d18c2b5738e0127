//! Serial over LAN (IPMI 2.0 section 26): the machine's serial console in this terminal.

use super::tool::{Conversation, Kind};
use crate::model::{Fault, FaultClass};

/// Hands the terminal to the console. The program takes this process's place, so that nothing stands between the terminal
/// and it: control characters go to the machine, and whatever ends us ends it. Comes back only with the reason why not.
pub fn console(bmc: &Conversation, suite: u8) -> Fault {
    bmc.did_not_run(bmc.console(suite).replace())
}

/// Closes a console that is still open on the BMC: a client that was killed leaves it so, and the next one would be
/// refused. Gives the cipher suite to go on with.
pub async fn close_console(bmc: &Conversation) -> Result<u8, Fault> {
    match bmc.call(Kind::Look, &["sol", "deactivate"]).await {
        // "Already de-activated" is an error to the program.
        Err(fault) if fault.class != FaultClass::Permanent => Err(fault),
        _ => match bmc.suite() {
            Some(suite) => Ok(suite),
            None => bmc.greet().await,
        },
    }
}
