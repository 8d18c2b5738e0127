//! One BMC over IPMI, as the program `ipmitool -I lanplus` shows it: its argument list in, its texts and exit status out.
//! The texts are what version 1.8.19 prints against OpenIPMI's `ipmi_sim` 2.0.33, which tests also run it against.
#![allow(missing_docs, reason = "the names of fields and functions say the rest")]

use std::time::Duration;

use super::chassis::Chassis;
use super::fault::Fault;
use super::machine::{Override, Power};
use crate::model::{PowerState, Secret, Time};

mod text;

#[derive(Clone, Debug)]
pub struct IpmiConfig {
    pub username: String,
    pub password: Secret,
    pub suites: Vec<u8>,
    pub habits: Vec<Habit>,
    /// How long it takes for an answer when it is slow.
    pub slow: Duration,
    /// How long it is away when it restarts, or its sessions are all taken.
    pub away: Duration,
}

impl IpmiConfig {
    pub fn new(username: &str, password: Secret) -> Self {
        let (suites, habits) = (vec![3, 17], Vec::new());
        let (slow, away) = (Duration::from_secs(2), Duration::from_secs(60));
        IpmiConfig { username: username.into(), password, suites, habits, slow, away }
    }
}

/// Something that real BMCs do, each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Keeps the boot device and no other boot flag (`ipmi_sim`).
    KeepsDeviceOnly,
    /// Does not let boot flags be read.
    HidesFlags,
    /// Refuses to change how it clears boot flags.
    OwnTimer,
    NoFlags,
    /// Loses the boot flags when power goes.
    LosesFlags,
    /// Has no LED that can be lit for good.
    NoForce,
    NoLed,
    NoSoft,
    NoFru,
    /// Does not switch the machine on.
    DeadPower,
    Operator,
    /// Says nothing to a session with a cipher suite that it does not take.
    SilentSuite,
    Silent,
}

/// What the program printed, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub said: Said,
    pub delay: Duration,
}

pub struct IpmiBmc {
    config: IpmiConfig,
    away_until: Option<Time>,
    full_until: Option<Time>,
    efi: bool,
    /// Whether it was told to keep boot flags until they are used.
    pub keeps_flags: bool,
    /// The LED: lit for good, for some seconds, or not.
    pub led: Led,
    /// Attempts to log in, good and bad.
    pub logins: u32,
    pub failed_logins: u32,
    /// Commands that were carried out, in order.
    pub commands: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Led {
    Off,
    For(u8),
    On,
}

/// The words of an argument list that matter here.
#[derive(Debug, Default)]
struct Words<'a> {
    user: &'a str,
    suite: u8,
    verbose: bool,
    command: Vec<&'a str>,
}

impl<'a> Words<'a> {
    /// The options that we use, and no others: each but two has a value.
    fn read(args: &'a [String]) -> Option<Self> {
        let mut words = Words::default();
        let mut args = args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            match arg {
                "-v" => words.verbose = true,
                "-E" => {}
                "-U" => words.user = args.next()?,
                "-C" => words.suite = args.next()?.parse().ok()?,
                "-I" => (args.next()? == "lanplus").then_some(())?,
                "-H" | "-p" | "-N" | "-R" => drop(args.next()?),
                option if option.starts_with('-') => return None,
                first => words.command = std::iter::once(first).chain(args.by_ref()).collect(),
            }
        }
        Some(words)
    }
}

impl IpmiBmc {
    pub fn new(config: IpmiConfig) -> Self {
        IpmiBmc {
            config,
            away_until: None,
            full_until: None,
            efi: false,
            keeps_flags: false,
            led: Led::Off,
            logins: 0,
            failed_logins: 0,
            commands: Vec::new(),
        }
    }

    pub fn config_mut(&mut self) -> &mut IpmiConfig {
        &mut self.config
    }

    fn is(&self, habit: Habit) -> bool {
        self.config.habits.contains(&habit)
    }

    /// Answers one call of the program, `password` being what its environment says.
    pub fn handle(&mut self, machine: &mut dyn Chassis, now: Time, args: &[String], password: &str) -> Answer {
        let Some(words) = Words::read(args) else {
            return Answer { said: text::failed("ipmitool: unknown option\n"), delay: Duration::ZERO };
        };
        let faults = machine.faults();
        if faults.fires(Fault::BmcReboots) {
            self.away_until = Some(now + self.config.away);
        }
        if faults.fires(Fault::BmcSessionsFull) {
            self.full_until = Some(now + self.config.away);
        }
        let away = self.away_until.is_some_and(|until| until > now) || self.is(Habit::Silent);
        let delay = if faults.fires(Fault::BmcSlow) { self.config.slow } else { Duration::ZERO };
        if away || faults.fires(Fault::BmcReset) {
            return Answer { said: text::silent(words.verbose), delay: Duration::from_secs(10) };
        }
        let busy = self.full_until.is_some_and(|until| until > now) || faults.fires(Fault::BmcBusy);
        let said = match self.session(&words, password, busy) {
            Err(said) => said,
            Ok(()) => self.command(machine, now, &words.command),
        };
        Answer { said, delay }
    }

    /// The handshake, in its order: cipher suite, room for a session, user name, password, privilege.
    fn session(&mut self, words: &Words<'_>, password: &str, busy: bool) -> Result<(), Said> {
        if !self.config.suites.contains(&words.suite) {
            return Err(match self.is(Habit::SilentSuite) {
                true => text::no_session("Set Session Privilege Level to ADMINISTRATOR failed\n", words.verbose),
                false => text::open_session("invalid authentication algorithm", words.verbose),
            });
        }
        if busy {
            return Err(text::open_session("insufficient resources for session", words.verbose));
        }
        self.logins += 1;
        if words.user != self.config.username {
            self.failed_logins += 1;
            let why = "RAKP 2 message indicates an error : unauthorized name\n";
            return Err(text::no_session(if words.verbose { why } else { "" }, words.verbose));
        }
        if password != self.config.password.reveal() {
            self.failed_logins += 1;
            let why = if words.verbose { "> RAKP 2 HMAC is invalid\n" } else { "" };
            return Err(text::no_session(why, words.verbose));
        }
        if self.is(Habit::Operator) {
            let why = "Set Session Privilege Level to ADMINISTRATOR failed: Requested level exceeds user limit\n";
            return Err(text::no_session(why, words.verbose));
        }
        Ok(())
    }

    fn command(&mut self, machine: &mut dyn Chassis, now: Time, command: &[&str]) -> Said {
        let missing = machine.faults().has(Fault::BmcMissing);
        match command {
            ["chassis", "power", "status"] => text::power(machine.power()),
            ["chassis", "power", word] => self.power(machine, now, word),
            ["chassis", "status"] => text::chassis(machine.power()),
            ["chassis", "identify", word] => self.identify(machine, word),
            ["raw", bytes @ ..] => self.raw(machine, now, bytes),
            ["mc", "info"] if missing => text::said("Device ID                 : 32\n"),
            ["mc", "info"] => text::said(text::MC_INFO),
            ["fru", "print", "0"] if missing || self.is(Habit::NoFru) => Said {
                status: 1,
                stdout: " Device not present (Invalid data field in request)\n".into(),
                stderr: String::new(),
            },
            ["fru", "print", "0"] => text::fru(machine.boot_mac()),
            ["lan", "print"] if missing => text::failed("Invalid channel: 255\n"),
            ["lan", "print"] => text::lan(machine.bmc_mac()),
            ["sel", "list", "last", _] => text::said(text::SEL),
            ["sdr", "list"] => text::said(text::SDR),
            ["sol", "deactivate"] => text::failed("Info: SOL payload already de-activated\n"),
            _ => text::failed("Invalid command\n"),
        }
    }

    /// What becomes of a change that was made: the answer may be wrong, or lost.
    fn made(&mut self, machine: &mut dyn Chassis, command: String, well: Said, name: &str, raw: bool) -> Said {
        self.commands.push(command);
        let faults = machine.faults();
        match () {
            () if faults.fires(Fault::BmcError) => text::refused(name, raw, 0xff, "Unspecified error"),
            () if faults.fires(Fault::BmcLostAnswer) => text::unanswered(name, raw),
            () => well,
        }
    }

    fn power(&mut self, machine: &mut dyn Chassis, now: Time, word: &str) -> Said {
        let (power, said) = match word {
            "on" => (Power::On, "Up/On"),
            "off" => (Power::ForceOff, "Down/Off"),
            "soft" => (Power::GracefulShutdown, "Soft"),
            "cycle" => (Power::ForceRestart, "Cycle"),
            "reset" => (Power::ForceRestart, "Reset"),
            _ => return text::failed("Invalid chassis power command\n"),
        };
        let name = format!("Set Chassis Power Control to {said}");
        if word == "soft" && self.is(Habit::NoSoft) {
            return text::refused(&name, false, 0xcc, "Invalid data field in request");
        }
        if power == Power::ForceRestart && machine.power() == PowerState::Off {
            return text::refused(&name, false, 0xd5, "Command not supported in present state");
        }
        if !(power == Power::On && self.is(Habit::DeadPower)) {
            machine.switch(now, power);
        }
        if power == Power::ForceOff && self.is(Habit::LosesFlags) {
            machine.set_override(now, None);
        }
        let well = text::said(&format!("Chassis Power Control: {said}\n"));
        self.made(machine, format!("power {word}"), well, &name, false)
    }

    fn identify(&mut self, machine: &mut dyn Chassis, word: &str) -> Said {
        let refused = text::refused("Set Chassis Identify", false, 0xcc, "Invalid data field in request");
        let (led, said) = match word {
            _ if self.is(Habit::NoLed) => return refused,
            "force" if self.is(Habit::NoForce) => return refused,
            "force" => (Led::On, "indefinite".to_owned()),
            "0" => (Led::Off, "off".to_owned()),
            seconds => match seconds.parse() {
                Ok(number) => (Led::For(number), format!("{seconds} seconds")),
                Err(_) => return text::failed("Given identify interval is invalid.\n"),
            },
        };
        self.led = led;
        let well = text::said(&format!("Chassis identify interval: {said}\n"));
        self.made(machine, format!("identify {word}"), well, "Set Chassis Identify", false)
    }

    /// Chassis commands (network function 0) as bytes: Set and Get System Boot Options.
    fn raw(&mut self, machine: &mut dyn Chassis, now: Time, bytes: &[&str]) -> Said {
        let read = |word: &&str| match word.strip_prefix("0x") {
            Some(hex) => u8::from_str_radix(hex, 16).ok(),
            None => word.parse().ok(),
        };
        let Some(bytes) = bytes.iter().map(read).collect::<Option<Vec<u8>>>() else {
            return text::failed("Given data is invalid.\n");
        };
        let invalid = |command| text::refused_raw(command, 0xcc, "Invalid data field in request");
        match bytes[..] {
            [0, 8, 3, _] if self.is(Habit::OwnTimer) => text::refused_raw(8, 0x80, "Unknown (0x80)"),
            [0, 8, 3, data] => {
                self.keeps_flags = data & 0x1f == 0x1f;
                text::said("\n")
            }
            [0, 8, 4, ..] => text::said("\n"),
            [0, 8, 5, ..] if self.is(Habit::NoFlags) => invalid(8),
            [0, 8, 5, first, second, ..] => {
                self.set_flags(machine, now, first, second);
                self.made(machine, format!("flags {first:02x} {second:02x}"), text::said("\n"), "8", true)
            }
            [0, 9, 5, ..] if self.is(Habit::HidesFlags) => invalid(9),
            [0, 9, 5, ..] => {
                let [first, second] = self.flags(machine);
                text::said(&format!(" 01 05 {first:02x} {second:02x} 00 00 00\n"))
            }
            [_, command, ..] => text::refused_raw(command, 0xc1, "Invalid command"),
            _ => text::failed("Not enough parameters given.\n"),
        }
    }

    fn set_flags(&mut self, machine: &mut dyn Chassis, now: Time, first: u8, second: u8) {
        if machine.faults().fires(Fault::BmcIgnoresPatch) {
            return;
        }
        let network = match second >> 2 & 0xf {
            1 => Some(true),
            2 => Some(false),
            _ => None,
        };
        self.efi = first & 0x20 != 0;
        let wanted = network.filter(|_| first & 0x80 != 0);
        machine.set_override(now, wanted.map(|network| Override { network, once: first & 0x40 == 0 }));
    }

    fn flags(&self, machine: &dyn Chassis) -> [u8; 2] {
        let Some(set) = machine.boot_override() else { return [0, 0] };
        let device = if set.network { 1 << 2 } else { 2 << 2 };
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        match self.is(Habit::KeepsDeviceOnly) {
            true => [0, device],
            false => [0x80 | bit(!set.once, 0x40) | bit(self.efi, 0x20), device],
        }
    }
}
