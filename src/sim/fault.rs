//! What goes wrong in a rack, as data: every fault by name, and a seeded plan that makes faults stop.
#![allow(missing_docs, reason = "the names say the rest")]

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

macro_rules! faults {
    ($($(#[$doc:meta])* $variant:ident = $name:literal : $about:literal;)*) => {
        /// One way in which a machine, its firmware, its BMC or the network between misbehaves.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $(#[doc = $about] $variant,)*
        }

        impl Fault {
            pub const ALL: &'static [Fault] = &[$(Fault::$variant,)*];

            /// The name used on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Fault::$variant => $name,)* }
            }

            /// One sentence for people.
            pub fn about(self) -> &'static str {
                match self { $(Fault::$variant => $about,)* }
            }
        }
    };
}

faults! {
    LostCallback = "lost-callback": "A check-in never arrives.";
    DoubledCallback = "doubled-callback": "A check-in arrives twice.";
    LateCallback = "late-callback": "A check-in arrives late, when the machine is already elsewhere.";
    LostPacket = "lost-packet": "A DHCP, TFTP or HTTP request of the machine goes unanswered.";
    ForgetsBootOverride = "forgets-boot-override": "The one-shot boot override reads back well, but is gone at the next start.";
    IgnoresBootOverride = "ignores-boot-override": "The BMC acknowledges a boot override and does not keep it.";
    ContinuousBootOverride = "continuous-boot-override": "A boot override set for once stays for ever.";
    PxeFirst = "pxe-first": "The firmware always tries the network before the disk.";
    HungInstaller = "hung-installer": "The installer stops somewhere and says nothing more.";
    CrashingInstaller = "crashing-installer": "The installer fails after it began and starts over from its answer file.";
    PowerBlip = "power-blip": "The machine loses power for a moment while its disk is being written.";
    BmcError = "bmc-error": "The BMC does what it was asked and answers 500.";
    BmcBusy = "bmc-busy": "The BMC answers 503 and does nothing.";
    BmcLostAnswer = "bmc-lost-answer": "The BMC does what it was asked and the connection breaks before the answer.";
    BmcSlow = "bmc-slow": "The BMC takes its time.";
    BmcReset = "bmc-reset": "The connection to the BMC breaks before the request is heard.";
    BmcTask = "bmc-task": "The BMC answers a change with 202 and a task, and makes it a little later.";
    BmcTaskFails = "bmc-task-fails": "A task of the BMC ends with an exception and without effect.";
    BmcEmptyAnswer = "bmc-empty-answer": "The BMC answers a change with an empty 204.";
    BmcDropsSession = "bmc-drops-session": "The BMC forgets its sessions and answers 401.";
    BmcForbidden = "bmc-forbidden": "The BMC answers 403 to somebody who may.";
    BmcHtml = "bmc-html": "The BMC answers 200 with a web page.";
    BmcDuplicates = "bmc-duplicates": "The BMC lists a member of each collection twice.";
    BmcMissing = "bmc-missing": "The BMC leaves out properties, or sets them to null.";
    BmcIgnoresPatch = "bmc-ignores-patch": "The BMC acknowledges a change and does not make it.";
    BmcReboots = "bmc-reboots": "The BMC restarts: nobody is there for a while, and its sessions are gone.";
    BmcSessionsFull = "bmc-sessions-full": "Other people's sessions fill the BMC's table for a while.";
    BmcCertificate = "bmc-certificate": "The BMC shows another certificate than before.";
    BmcWrongPassword = "bmc-wrong-password": "The BMC's password is not the one in the repository, until somebody sets that right.";
}

impl Fault {
    /// Whether it is a trait of the machine rather than something that happens a number of times.
    fn is_trait(self) -> bool {
        matches!(
            self,
            Fault::PxeFirst
                | Fault::ContinuousBootOverride
                | Fault::BmcDuplicates
                | Fault::BmcMissing
                | Fault::BmcWrongPassword
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|fault| fault.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|fault| fault.name()).collect();
            format!("`{text}` is not a fault; known are: {}", known.join(", "))
        })
    }
}

/// A small seeded generator (SplitMix64, Steele et al. 2014): the same seed gives the same rack.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Whether something with this chance (of 256) happens.
    pub fn roll(&mut self, of_256: u8) -> bool {
        (self.draw() & 0xff) < u64::from(of_256)
    }
}

/// Which faults one machine has, how often each may still happen, and the dice that decide when.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    left: BTreeMap<Fault, u32>,
    dice: Dice,
}

impl FaultPlan {
    pub fn none() -> Self {
        FaultPlan { left: BTreeMap::new(), dice: Dice::new(0) }
    }

    /// Each fault happens at most `each` times, at moments that depend on the seed alone.
    pub fn new(faults: impl IntoIterator<Item = Fault>, each: u32, seed: u64) -> Self {
        FaultPlan { left: faults.into_iter().map(|fault| (fault, each)).collect(), dice: Dice::new(seed) }
    }

    /// Whether the machine has this trait.
    pub fn has(&self, fault: Fault) -> bool {
        self.left.contains_key(&fault)
    }

    /// An opportunity for a fault: says whether it happens, and counts it.
    pub fn fires(&mut self, fault: Fault) -> bool {
        self.fires_with(fault, 160)
    }

    /// The same with another chance (of 256), where opportunities are many.
    pub fn fires_with(&mut self, fault: Fault, of_256: u8) -> bool {
        let Some(left) = self.left.get_mut(&fault).filter(|left| **left > 0) else { return false };
        if !self.dice.roll(of_256) {
            return false;
        }
        *left -= 1;
        true
    }

    /// The machine has this trait, or this fault that many more times.
    pub fn give(&mut self, fault: Fault, times: u32) {
        self.left.insert(fault, times);
    }

    /// The machine has this fault or trait no longer.
    pub fn cure(&mut self, fault: Fault) {
        self.left.remove(&fault);
    }

    /// No more faults from now on; traits remain.
    pub fn stop(&mut self) {
        self.left.iter_mut().filter(|(fault, _)| !fault.is_trait()).for_each(|(_, left)| *left = 0);
    }

    /// How many more times something may go wrong.
    pub fn remaining(&self) -> u32 {
        self.left.iter().filter(|(fault, _)| !fault.is_trait()).map(|(_, left)| left).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_unknown_ones_list_the_known() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse::<Fault>(), Ok(*fault));
        }
        let error = "gremlins".parse::<Fault>().unwrap_err();
        assert!(error.contains("lost-callback") && error.contains("pxe-first"), "{error}");
    }

    #[test]
    fn faults_stop() {
        let mut plan = FaultPlan::new([Fault::LostCallback, Fault::PxeFirst], 3, 7);
        let fired = (0..1000).filter(|_| plan.fires(Fault::LostCallback)).count();
        assert_eq!((fired, plan.remaining()), (3, 0));
        assert!(plan.has(Fault::PxeFirst) && !plan.fires(Fault::BmcSlow));
    }
}
