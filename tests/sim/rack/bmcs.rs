//! What people do to BMCs, and to what the repository says of them.

use super::line::Unit;
use super::*;

impl Sim {
    pub(super) fn trouble_with_bmc(&mut self, id: &HostId) {
        match self.below(7) {
            // Somebody mistypes a password, for an install that is to come.
            0 | 1 => {
                let typo = format!("typo-{}", self.below(1_000_000));
                let host = self.rack.host(id);
                (host.password, host.generation) = (typo, host.generation + 1);
                self.push();
            }
            2 | 3 => {
                if let Some(bmc) = &mut look(&self.machines[id]).bmc {
                    bmc.change_certificate();
                }
                self.rack.raise_generation(id);
                self.push();
            }
            4 => {
                let host = self.rack.host(id);
                host.hidden = true;
                self.push();
                self.later(600_000, 3_600_000, Item::Person);
            }
            5 => {
                self.rack.raise_generation(id);
                self.push();
                let requests = self.below(60) as i64;
                self.hub.light(requests);
            }
            _ => {
                self.rack.raise_generation(id);
                self.push();
            }
        }
    }

    /// Lets volumes that are in the way be deleted.
    pub(super) fn consent(&mut self, id: &HostId) -> bool {
        !std::mem::replace(&mut self.rack.host(id).wishes.wipe_volumes, true)
    }

    /// Writes down the password that the BMC takes; if that is what is written, gives the account another one.
    pub(super) fn correct_password(&mut self, id: &HostId) -> bool {
        let written = self.rack.host(id).password.clone();
        let password = {
            let mut unit = look(&self.machines[id]);
            let Unit { machine, bmc, ipmi, .. } = &mut *unit;
            let right = bmc.as_ref().map(|bmc| bmc.password(machine.faults()));
            let right = right.or_else(|| ipmi.as_mut().map(|ipmi| ipmi.config_mut().password.clone()));
            let mut right = right.expect("a BMC that refused an account").reveal().to_owned();
            if right == written {
                // As long as IPMI takes.
                right = format!("again-{}", self.sequence);
            }
            machine.faults().cure(Trouble::BmcWrongPassword);
            if let Some(bmc) = bmc {
                bmc.set_account("admin", Secret::new(&right));
            }
            if let Some(ipmi) = ipmi {
                ipmi.config_mut().password = Secret::new(&right);
            }
            right
        };
        self.rack.host(id).password = password;
        self.told.passwords_corrected += 1;
        true
    }

    /// Writes down the certificate that the BMC shows.
    pub(super) fn renew_certificate(&mut self, id: &HostId) -> bool {
        let shown = {
            let unit = look(&self.machines[id]);
            line::fingerprint(&unit.machine.config().name, unit.bmc().certificate())
        };
        let host = self.rack.host(id);
        let news = host.wishes.fingerprint.as_ref() != Some(&shown);
        host.wishes.fingerprint = Some(shown);
        if news {
            // A change of the repository that is about this BMC: its account may be tried once more.
            self.bmcs.of(id).forgiven += 1;
        }
        self.told.certificates_renewed += u64::from(news);
        news
    }

    /// Sessions that a crash left open and that were closed afterwards, rather than left to time out.
    pub(super) fn count_recovered(&mut self) {
        let (machines, told) = (&self.machines, &mut self.told);
        self.behind.retain(|id, uri| {
            let unit = look(&machines[id]);
            let open = unit.bmc().session_uris().any(|open| open == *uri);
            told.recovered += u64::from(!open && unit.bmc().tally.closed.contains(uri));
            open
        });
    }

    /// What the BMCs tell of themselves in the end.
    pub(super) fn count_bmcs(&mut self) {
        for unit in self.machines.values() {
            let unit = look(unit);
            let told = &mut self.told;
            told.failed_logins += unit.failed().len() as u64;
            if let Some(ipmi) = &unit.ipmi {
                told.ipmi_logins += u64::from(ipmi.logins);
                told.ipmi_changes += ipmi.commands.len() as u64;
            }
            let Some(bmc) = &unit.bmc else { continue };
            told.requests += bmc.tally.requests;
            told.writes += bmc.tally.writes;
            told.logins += u64::from(bmc.logins);
            told.reboots += u64::from(bmc.tally.reboots);
            told.configured += u64::from(bmc.tally.configured);
            told.volumes_made += bmc.tally.made.len() as u64;
            told.volumes_deleted += bmc.tally.deleted.len() as u64;
        }
    }
}
