//! The simulated machine with virtual time and scripted answers.

use std::net::Ipv4Addr;

use proptest::prelude::*;
use rackwright::model::{Mac, PowerState, Time};
use rackwright::sim::fault::{Fault, FaultPlan};
use rackwright::sim::machine::{
    Ack, BootOrder, DhcpClient, Disk, Effect, Firmware, Machine, MachineConfig, MachineEvent, Override, Power, Stage,
    Timings,
};

const BOOT_MAC: Mac = Mac([0x52, 0x54, 0, 0xaa, 0xbb, 0x11]);
const IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 50);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// A network that answers by the book, and remembers what it was asked.
struct Lab {
    machine: Machine,
    now: Time,
    install: bool,
    claims: u32,
    check_ins: Vec<(String, String)>,
    asked: Vec<String>,
}

fn config(firmware: Firmware, order: BootOrder, faults: FaultPlan) -> MachineConfig {
    MachineConfig {
        name: "hv1".into(),
        bmc_mac: Some(Mac([0x52, 0x54, 0, 0xaa, 0xbb, 1])),
        boot_mac: BOOT_MAC,
        firmware,
        order,
        loads_ipxe: true,
        timings: Timings::real(),
        faults,
    }
}

impl Lab {
    fn new(firmware: Firmware, order: BootOrder, faults: FaultPlan) -> Self {
        let machine = Machine::new(config(firmware, order, faults));
        Lab { machine, now: Time(0), install: true, claims: 0, check_ins: Vec::new(), asked: Vec::new() }
    }

    fn token(claim: u32) -> String {
        format!("{claim:032x}")
    }

    fn file(&mut self, name: &str) -> Result<Vec<u8>, String> {
        self.asked.push(name.to_owned());
        let text = match name {
            "ipxe.efi" | "/assets/ipxe.efi" | "undionly.kpxe" | "keys.txt" => "bytes".to_owned(),
            "/boot/525400aabb11/boot.ipxe" if self.install => {
                "#!ipxe\nset host-url http://10.0.0.1:9999/boot/${mac:hexraw}\n\
                 set args pvcinstall.preseed=on pvcinstall.seed_host=${next-server} pvcinstall.seed_file=/host/mac-${mac:hexraw}.preseed\n\
                 chain --autofree ${host-url}/mac-${mac:hexraw}.ipxe || goto failed\n\
                 kernel http://10.0.0.1:9999/assets/vmlinuz || goto failed\nimgargs vmlinuz ${args}\n\
                 boot || goto failed\n:failed\nsleep 10\nchain ${host-url}/boot.ipxe || goto failed\n"
                    .to_owned()
            }
            "/boot/525400aabb11/boot.ipxe" => {
                "#!ipxe\niseq ${platform} efi && goto leave ||\nsanboot --no-describe --drive 0x80 ||\n:leave\nexit 1\n".into()
            }
            "/boot/525400aabb11/mac-525400aabb11.ipxe" => "#!ipxe\nset imgargs-host quiet\n".to_owned(),
            "/host/mac-525400aabb11.preseed" => {
                self.claims += 1;
                format!(
                    "target_hostname='hv1.example.net'\ntarget_disk='/dev/sda'\ntarget_keys_method='tftp'\n\
                     target_keys_path='keys.txt'\npvcbootstrapd_checkin_uri='http://10.0.0.1:9999/checkin/host/{}'\n",
                    Self::token(self.claims)
                )
            }
            other => return Err(format!("no {other}")),
        };
        Ok(text.into_bytes())
    }

    fn step(&mut self, event: MachineEvent) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.machine.step(self.now, event) {
                events.push(self.answer(effect));
            }
        }
    }

    fn answer(&mut self, effect: Effect) -> MachineEvent {
        match effect {
            Effect::Dhcp { id, client, mac, .. } => {
                assert_eq!(mac, BOOT_MAC);
                let file = match client {
                    DhcpClient::Pxe(7) => Some("ipxe.efi".to_owned()),
                    DhcpClient::Http(_) => Some("http://10.0.0.1:9999/assets/ipxe.efi".to_owned()),
                    DhcpClient::Pxe(_) => Some("undionly.kpxe".to_owned()),
                    DhcpClient::Ipxe(_) => Some("http://10.0.0.1:9999/boot/525400aabb11/boot.ipxe".to_owned()),
                    DhcpClient::Os => None,
                };
                MachineEvent::Dhcp { id, ack: Some(Ack { ip: IP, next_server: SERVER, file }) }
            }
            Effect::Tftp { id, from, name, .. } => {
                assert_eq!(from, IP);
                MachineEvent::Tftp { id, result: self.file(&name) }
            }
            Effect::Http { id, url, .. } => {
                let path = url.strip_prefix("http://10.0.0.1:9999").unwrap().to_owned();
                let result = self.file(&path).map(|body| (200, body)).or(Ok((404, Vec::new())));
                MachineEvent::Http { id, result }
            }
            Effect::CheckIn { id, uri, body, .. } => {
                let action = body["action"].as_str().unwrap().to_owned();
                assert_eq!(body["host_macaddr"], "52:54:00:aa:bb:11");
                let full = action.starts_with("install");
                assert_eq!(body["hostname"], if full { "hv1.example.net" } else { "hv1" });
                if action == "install-complete" {
                    self.install = false;
                }
                self.check_ins.push((action, uri.rsplit('/').next().unwrap().to_owned()));
                MachineEvent::Http { id, result: Ok((200, b"{}".to_vec())) }
            }
        }
    }

    /// Lets time pass until nothing is due any more, or `until`.
    fn run(&mut self, until: Time) {
        while let Some(at) = self.machine.next_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.step(MachineEvent::Timer);
        }
        self.now = self.now.max(until);
    }

    fn actions(&self) -> Vec<&str> {
        self.check_ins.iter().map(|(action, _)| action.as_str()).collect()
    }
}

const HOUR: i64 = 3600;
const BY_THE_BOOK: [&str; 3] = ["install-start", "install-complete", "system-boot_initial"];

#[test]
fn a_blank_machine_installs_once_and_boots_its_disk() {
    for firmware in [Firmware::Uefi, Firmware::UefiHttp, Firmware::Bios] {
        for order in [BootOrder::DiskFirst, BootOrder::NetworkFirst] {
            let mut lab = Lab::new(firmware, order, FaultPlan::none());
            lab.step(MachineEvent::SetOverride(Some(Override { network: true, once: true })));
            lab.step(MachineEvent::Power(Power::On));
            lab.run(Time::from_secs(HOUR));
            assert_eq!(lab.actions(), BY_THE_BOOK);
            assert!(lab.check_ins.iter().all(|(_, token)| *token == Lab::token(1)), "{:?}", lab.check_ins);
            assert_eq!(lab.machine.stage(), Stage::Running);
            assert_eq!(lab.machine.disk(), &Disk::Installed { token: Some(Lab::token(1)) });
            assert_eq!((lab.machine.wipes.len(), lab.claims, lab.machine.boot_override()), (1, 1, None));
            assert!(lab.asked.contains(&"keys.txt".to_owned()));
            lab.step(MachineEvent::Power(Power::GracefulShutdown));
            lab.run(Time::from_secs(2 * HOUR));
            assert_eq!(lab.machine.power(), PowerState::Off);
        }
    }
}

#[test]
fn a_machine_that_always_netboots_is_told_to_use_its_disk_a_hundred_times() {
    for firmware in [Firmware::Uefi, Firmware::Bios] {
        let mut lab = Lab::new(firmware, BootOrder::DiskFirst, FaultPlan::new([Fault::PxeFirst], 1, 0));
        lab.step(MachineEvent::Power(Power::On));
        lab.run(Time::from_secs(HOUR));
        for reboot in 1..=100 {
            lab.step(MachineEvent::Power(Power::ForceRestart));
            lab.run(Time::from_secs(HOUR * (1 + reboot)));
            assert_eq!(lab.machine.stage(), Stage::Running);
        }
        assert_eq!((lab.machine.wipes.len(), lab.machine.os_boots, lab.machine.installer_boots), (1, 101, 1));
        assert!(lab.asked.iter().filter(|name| name.ends_with("boot.ipxe")).count() > 100);
    }
}

#[test]
fn a_configured_system_says_so_and_a_new_disk_is_blank() {
    let mut lab = Lab::new(Firmware::Uefi, BootOrder::DiskFirst, FaultPlan::none());
    lab.step(MachineEvent::Power(Power::On));
    lab.run(Time::from_secs(HOUR));
    lab.step(MachineEvent::Configured);
    lab.step(MachineEvent::Power(Power::ForceRestart));
    lab.run(Time::from_secs(2 * HOUR));
    assert_eq!(lab.actions().last(), Some(&"system-boot_configured"));
    lab.step(MachineEvent::ReplaceDisk);
    lab.step(MachineEvent::Power(Power::ForceRestart));
    lab.run(Time::from_secs(3 * HOUR));
    assert_eq!((lab.machine.stage(), lab.machine.wipes.len()), (Stage::NoBootDevice, 1), "not armed: not installed");
}

#[test]
fn a_hung_installer_is_silent_until_it_is_reset() {
    for seed in 0..20 {
        let mut lab = Lab::new(Firmware::Uefi, BootOrder::DiskFirst, FaultPlan::new([Fault::HungInstaller], 1, seed));
        lab.step(MachineEvent::Power(Power::On));
        lab.run(Time::from_secs(HOUR));
        if lab.machine.stage() == Stage::Hung {
            assert_eq!(lab.machine.next_deadline(), None);
            lab.step(MachineEvent::Power(Power::ForceRestart));
            lab.run(Time::from_secs(2 * HOUR));
        }
        assert_eq!(lab.machine.stage(), Stage::Running, "seed {seed}");
        let tokens: Vec<_> = lab.machine.wipes.iter().map(|(_, token)| token.clone()).collect();
        assert!(tokens.len() <= 2 && tokens.windows(2).all(|pair| pair[0] != pair[1]), "{tokens:?}");
    }
}

#[test]
fn a_forgotten_override_boots_the_disk_that_is_there() {
    let mut forgotten = 0;
    for seed in 0..10 {
        let faults = FaultPlan::new([Fault::ForgetsBootOverride], 3, seed);
        let mut lab = Lab::new(Firmware::Uefi, BootOrder::DiskFirst, faults);
        lab.step(MachineEvent::Power(Power::On));
        lab.run(Time::from_secs(HOUR));
        lab.install = true;
        for hour in 2.. {
            lab.step(MachineEvent::SetOverride(Some(Override { network: true, once: true })));
            assert_eq!(lab.machine.boot_override(), Some(Override { network: true, once: true }), "it reads back");
            lab.step(MachineEvent::Power(Power::ForceRestart));
            lab.run(Time::from_secs(hour * HOUR));
            assert_eq!((lab.machine.boot_override(), lab.machine.stage()), (None, Stage::Running));
            if lab.machine.wipes.len() == 2 {
                break;
            }
            forgotten += 1;
            assert!(hour <= 5, "it happens three times at most");
        }
    }
    assert!((5..=30).contains(&forgotten), "{forgotten}");
}

#[test]
fn an_unanswered_network_leads_to_no_boot_device_and_more_tries() {
    let mut machine = Machine::new(config(Firmware::Uefi, BootOrder::NetworkFirst, FaultPlan::none()));
    machine.step(Time(0), MachineEvent::Power(Power::On));
    let mut asked = 0;
    while let Some(at) = machine.next_deadline().filter(|at| *at < Time::from_secs(HOUR)) {
        asked += machine.step(at, MachineEvent::Timer).len();
    }
    assert!((20..60).contains(&asked), "{asked}");
    assert!(machine.wipes.is_empty());
}

#[test]
fn every_fault_stops_and_then_the_machine_gets_installed() {
    for fault in Fault::ALL.iter().copied() {
        for seed in 0..30 {
            let mut lab = Lab::new(Firmware::Bios, BootOrder::DiskFirst, FaultPlan::new([fault], 2, seed));
            lab.step(MachineEvent::SetOverride(Some(Override { network: true, once: true })));
            lab.step(MachineEvent::Power(Power::On));
            for hour in 1..=6 {
                lab.run(Time::from_secs(hour * HOUR));
                if lab.machine.stage() != Stage::Running {
                    lab.step(MachineEvent::Power(Power::ForceRestart));
                }
            }
            assert_eq!(lab.machine.stage(), Stage::Running, "{fault} seed {seed}: {}", lab.machine.console);
            assert!(lab.machine.wipes.len() <= 3, "{fault} seed {seed}");
        }
    }
}

#[test]
fn an_installed_machine_boots_its_disk_and_reports() {
    let config = config(Firmware::Uefi, BootOrder::DiskFirst, FaultPlan::none());
    let uri = format!("http://10.0.0.1:9999/checkin/host/{}", Lab::token(7));
    let mut lab = Lab::new(Firmware::Uefi, BootOrder::DiskFirst, FaultPlan::none());
    lab.machine = Machine::installed(config, "hv1.example.net", &uri);
    lab.step(MachineEvent::Power(Power::On));
    lab.run(Time::from_secs(HOUR));
    assert_eq!(lab.check_ins, [("system-boot_initial".to_owned(), Lab::token(7))]);
    assert!(lab.asked.is_empty() && lab.machine.wipes.is_empty());
}

fn events() -> impl Strategy<Value = (u8, u8, u8)> {
    (0u8..14, any::<u8>(), any::<u8>())
}

proptest! {
    #[test]
    fn any_sequence_of_events_is_survived_and_wipes_need_a_fresh_answer_file(
        script in prop::collection::vec(events(), 0..400),
        faults in prop::collection::vec(0..Fault::ALL.len(), 0..4),
        seed in any::<u64>(),
    ) {
        let faults = FaultPlan::new(faults.into_iter().map(|index| Fault::ALL[index]), 3, seed);
        let mut lab = Lab::new(Firmware::Bios, BootOrder::DiskFirst, faults);
        let mut pending = Vec::new();
        let mut tokens_given = 0;
        for (what, arg, more) in script {
            lab.install = more & 1 == 0 || lab.install;
            let event = match what {
                0 => MachineEvent::Power(Power::On),
                1 => MachineEvent::Power([Power::ForceOff, Power::ForceRestart, Power::PushButton, Power::GracefulShutdown][usize::from(arg % 4)]),
                2 => MachineEvent::SetOverride((arg & 1 == 0).then_some(Override { network: arg & 2 == 0, once: arg & 4 == 0 })),
                3 => MachineEvent::Dhcp { id: u64::from(arg), ack: None },
                4 => MachineEvent::Tftp { id: u64::from(arg), result: Ok(vec![arg; 3]) },
                5 => MachineEvent::Http { id: u64::from(arg), result: Err("reset".into()) },
                6 if pending.len() > 1 => pending.swap_remove(usize::from(arg) % pending.len()),
                _ if !pending.is_empty() => pending.remove(0),
                _ => {
                    if let Some(at) = lab.machine.next_deadline() {
                        lab.now = lab.now.max(at);
                    }
                    MachineEvent::Timer
                }
            };
            let wipes = lab.machine.wipes.len();
            for effect in lab.machine.step(lab.now, event) {
                pending.push(lab.answer(effect));
            }
            tokens_given = tokens_given.max(lab.claims);
            prop_assert!(lab.machine.wipes.len() <= wipes + 1);
            if let Some((at, token)) = lab.machine.wipes.get(wipes) {
                prop_assert_eq!(*at, lab.now);
                let token = token.clone().expect("only our answer file leads to a wipe");
                prop_assert!((1..=tokens_given).any(|claim| Lab::token(claim) == token));
                let again = lab.machine.wipes[..wipes].iter().any(|(_, old)| old.as_ref() == Some(&token));
                prop_assert!(!again, "twice with one token");
            }
        }
    }
}
