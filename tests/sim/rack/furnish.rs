//! What the rack is furnished with: machines and BMCs of many makes, with faults.

use super::line::Unit;
use rackwright::model::{NoticeKind, Receiver};

use super::*;

pub(super) fn policy(season: Season) -> Policy {
    let everything = Receiver { name: "default".into(), clusters: BTreeSet::new(), events: NoticeKind::ALL.into() };
    let policy = Policy {
        concurrent_installs: 3,
        concurrent_bmc: 3,
        receivers: vec![everything],
        commit_status: true,
        ..crate::rig::plan::policy()
    };
    match season.bmcs {
        // Whoever pushes says so; looking every 30 seconds as well would be most of what happens.
        true => Policy { poll_interval: Duration::from_secs(900), ..policy },
        false => policy,
    }
}

pub(super) fn machines(rack: &mut Rack, season: Season, dice: &mut Dice, seed: u64) -> BTreeMap<HostId, Shared> {
    let mut machines = BTreeMap::new();
    for (index, host) in rack.hosts.iter_mut().enumerate() {
        let troubles: Vec<Trouble> = Trouble::ALL.iter().copied().filter(|_| dice.roll(70)).collect();
        let each = 1 + (dice.draw() % 3) as u32;
        let config = MachineConfig {
            name: host.name.clone(),
            bmc_mac: host.bmc.then_some(host.bmc_mac),
            boot_mac: host.boot_mac,
            firmware: if dice.roll(128) { Firmware::Uefi } else { Firmware::Bios },
            order: if dice.roll(64) { BootOrder::NetworkFirst } else { BootOrder::DiskFirst },
            loads_ipxe: dice.roll(128),
            timings: Timings::real(),
            faults: FaultPlan::new(troubles, each, seed ^ (index as u64) << 32),
        };
        let mut unit = Unit { machine: Machine::new(config), bmc: None, ipmi: None, refused: Vec::new() };
        match host.bmc {
            true if dice.roll(32) => unit.ipmi = Some(IpmiBmc::new(ipmi(host, &unit.machine, dice))),
            true => unit.bmc = Some(Bmc::new(bmc(host, season, dice))),
            false => {}
        }
        machines.insert(host.id(), share(unit));
    }
    machines
}

/// An old BMC, with the habits of some make.
fn ipmi(host: &mut crate::rig::racks::Host, machine: &Machine, dice: &mut Dice) -> IpmiConfig {
    host.wishes.protocol = Protocol::Ipmi;
    let wrong = machine.config().faults.has(Trouble::BmcWrongPassword);
    let password = if wrong { format!("not-{}", host.password) } else { host.password.clone() };
    let habits = [Habit::OwnTimer, Habit::NoForce, Habit::NoLed, Habit::NoSoft, Habit::NoFru, Habit::HidesFlags];
    let mut config = IpmiConfig::new("admin", Secret::new(&password));
    config.habits = habits.into_iter().filter(|_| dice.roll(60)).collect();
    if dice.roll(100) {
        config.suites = vec![3];
    }
    config
}

/// A BMC of some make, and what the repository wants of it.
fn bmc(host: &mut crate::rig::racks::Host, season: Season, dice: &mut Dice) -> BmcConfig {
    let vendor = VENDORS[(dice.draw() % VENDORS.len() as u64) as usize];
    let mut config = BmcConfig::new(vendor, "admin", Secret::new(&host.password));
    config.slow = Duration::from_secs(if dice.roll(128) { 3 } else { 20 });
    config.basic &= !config.sessions || dice.roll(200);
    if season.bmcs {
        wish(host, vendor, dice);
        config = furnish_drives(host, config, dice);
    }
    config
}

/// The makes that there are.
const VENDORS: &[Vendor] = &Vendor::EVERY;

/// Settings with other values than the machine has, and now and then one that it does not have.
fn wish(host: &mut crate::rig::racks::Host, vendor: Vendor, dice: &mut Dice) {
    let wishes = &mut host.wishes;
    let pairs: &[(&str, &str)] = match vendor {
        Vendor::Dell => &[("ProcVirtualization", "Enabled"), ("AcPwrRcvryUserDelay", "60")],
        Vendor::Hpe => &[("ProcVirtualization", "Enabled"), ("Sriov", "Enabled")],
        Vendor::Supermicro => &[("CorrectableErrorThreshold_3C34", "100"), ("ConsoleRedirection_0080", "false")],
        Vendor::Generic => &[("SRIOVEnable", "Enabled"), ("TPM0", "false")],
        Vendor::Lenovo => &[("DevicesandIOPorts_SRIOV", "Enabled")],
        Vendor::OldHp => &[],
    };
    let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    if dice.roll(150) {
        wishes.bios = texts(pairs);
    }
    if dice.roll(25) {
        wishes.bios.insert("Nonsense".into(), "Enabled".into());
    }
    if vendor == Vendor::Dell && dice.roll(128) {
        wishes.manager = texts(&[("WebServer.1.Timeout", "600"), ("NTPConfigGroup.1.NTPEnable", "Enabled")]);
    }
    if GUARDED && dice.roll(128) {
        wishes.protocol = Protocol::Auto;
    }
}

/// A system on one drive or two, with or without somebody else's volumes in the way.
fn furnish_drives(host: &mut crate::rig::racks::Host, mut config: BmcConfig, dice: &mut Dice) -> BmcConfig {
    if config.vendor == Vendor::OldHp {
        return config;
    }
    let bays: Vec<u32> = config.drives.iter().map(|drive| drive.bay).collect();
    match dice.draw() % 4 {
        0 => {}
        1 => host.wishes.slots = vec![bays[0].to_string()],
        _ => host.wishes.slots = vec![bays[0].to_string(), bays[1].to_string()],
    }
    match dice.draw() % 6 {
        0 => config = config.with_foreign_volume("RAID1", &bays[..2]),
        1 => config = config.with_foreign_volume("RAID0", &bays[..1]),
        2 => config = config.with_foreign_volume("RAID5", &bays[1..4]),
        3 => config = config.with_foreign_volume("RAID1", &bays[2..4]),
        _ => {}
    }
    host.wishes.wipe_volumes = !host.wishes.slots.is_empty() && dice.roll(100);
    config
}

/// A machine with a BMC of which the repository knows nothing.
pub(super) fn stranger(dice: &mut Dice) -> Shared {
    let macs = [Mac([0x52, 0x54, 0, 0xdd, 0, 1]), Mac([0x52, 0x54, 0, 0xdd, 0, 2])];
    let machine = MachineConfig::new("stranger", Some(macs[0]), macs[1], Timings::real());
    let vendor = Vendor::ALL[(dice.draw() % Vendor::ALL.len() as u64) as usize];
    let bmc = Bmc::new(BmcConfig::new(vendor, "admin", Secret::new("secret")));
    share(Unit { machine: Machine::new(machine), bmc: Some(bmc), ipmi: None, refused: Vec::new() })
}

fn share(unit: Unit) -> Shared {
    Arc::new(std::sync::Mutex::new(unit))
}
