//! The boot-chain trace: what each machine asked of DHCP, TFTP, HTTP and the check-in, and when, so that "stuck after the
//! second DHCP reply" can be seen. Kept in memory only: it explains, it decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::model::{Mac, Time};

/// Machines remembered; the one that was silent longest is forgotten first.
const MACHINES: usize = 4096;
/// Steps remembered of each machine.
const STEPS: usize = 96;

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// DHCP and proxy DHCP.
    Dhcp,
    /// TFTP.
    Tftp,
    /// Boot files and static files over HTTP.
    Http,
    /// `POST /checkin/…`.
    Checkin,
}

/// One step of a boot chain.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Step {
    /// When.
    pub at: Time,
    /// Who answered.
    pub by: Service,
    /// What was asked: `discover` (with the firmware's kind), a file's name, a check-in's action.
    pub asked: String,
    /// What came of it: `offer 192.0.2.7 ipxe.efi`, `sent 174592 octets`, `aborted by the client`, `refused: …`.
    pub outcome: String,
}

/// What each machine did lately.
#[derive(Debug, Default)]
pub struct Trace(Mutex<BTreeMap<Mac, VecDeque<Step>>>);

impl Trace {
    /// Notes a step.
    pub fn note(&self, mac: Mac, at: Time, by: Service, asked: impl Into<String>, outcome: impl Into<String>) {
        let mut machines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if machines.len() >= MACHINES && !machines.contains_key(&mac) {
            let quietest =
                machines.iter().min_by_key(|(_, steps)| steps.back().map(|step| step.at)).map(|(mac, _)| *mac);
            quietest.and_then(|mac| machines.remove(&mac));
        }
        let steps = machines.entry(mac).or_default();
        if steps.len() >= STEPS {
            steps.pop_front();
        }
        steps.push_back(Step { at, by, asked: asked.into(), outcome: outcome.into() });
    }

    /// The steps of a machine, oldest first.
    pub fn of(&self, mac: Mac) -> Vec<Step> {
        let machines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        machines.get(&mac).map(|steps| steps.iter().cloned().collect()).unwrap_or_default()
    }
}
