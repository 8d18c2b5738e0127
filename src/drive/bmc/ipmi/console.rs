//! Serial over LAN (IPMI 2.0 section 26): the machine's serial console in this terminal.

use super::tool::{Ipmitool, Kind};
use crate::model::{Fault, FaultClass};

/// A console that nobody else has open.
pub struct Console {
    bmc: Ipmitool,
    suite: u8,
}

impl Console {
    /// Closes a console that is still open on the BMC: a client that was killed leaves it so, and the next one would be
    /// refused.
    pub(crate) async fn free(bmc: Ipmitool) -> Result<Console, Fault> {
        let suite = match bmc.call(Kind::Look, &["sol", "deactivate"]).await {
            // "Already de-activated" is an error to the program.
            Err(fault) if fault.class != FaultClass::Permanent => return Err(fault),
            _ => match bmc.suite() {
                Some(suite) => suite,
                None => bmc.greet().await?,
            },
        };
        Ok(Console { bmc, suite })
    }

    /// Hands the terminal to the console. The program takes this process's place, so that nothing stands between the
    /// terminal and it: control characters go to the machine, and whatever ends us ends it. Comes back only with the
    /// reason why not.
    pub(crate) fn open(&self) -> Fault {
        self.bmc.did_not_run(self.bmc.console(self.suite).replace())
    }
}
