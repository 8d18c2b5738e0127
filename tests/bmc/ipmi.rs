//! Orders over IPMI against the simulated BMC: what is sent, what is read back, what each refusal means.

use std::sync::Arc;
use std::time::Duration;

use rackwright::drive::bmc::ipmi::{self, boot, look, power};
use rackwright::drive::bmc::{Order, manual};
use rackwright::model::{
    BootMode, DiskChoice, FaultClass, NetworkBoot, Outcome, PowerState, Prepare, Protocol, Reason, Secret, Time,
};
use rackwright::sim::fault::Fault as Trouble;
use rackwright::sim::ipmi::{Habit, Led};
use rackwright::sim::machine::Override;

use crate::rig::bmc_ipmi::{BMC_MAC, BOOT_MAC, Desk, PASSWORD};

fn probe() -> Order {
    Order::Probe { boot_mac: Some(BOOT_MAC) }
}

fn arm() -> Order {
    Order::Arm { network_boot: NetworkBoot::Pxe, mode: BootMode::Uefi }
}

fn prepare(prepare: Prepare) -> Order {
    Order::Prepare { prepare: Arc::new(prepare), apply: true, pending: None }
}

const ONCE: Option<Override> = Some(Override { network: true, once: true });

#[tokio::test(start_paused = true)]
async fn probe_says_who_the_machine_is() {
    let desk = Desk::new(&[]).on();
    let Outcome::Probed { inventory, pin, protocol } = desk.once(probe()).await.unwrap() else { panic!() };
    assert_eq!((pin, protocol), (None, Protocol::Ipmi));
    assert_eq!(inventory.manufacturer.as_deref(), Some("Supermicro"));
    assert_eq!(inventory.model.as_deref(), Some("SYS-2029TP"));
    assert_eq!(inventory.sku.as_deref(), Some("SYS-2029TP-HC1R"));
    assert_eq!(inventory.serial, Some("525400BB0001".into()));
    assert_eq!(inventory.bmc_version.as_deref(), Some("1.74"));
    assert_eq!((inventory.boot_mac, inventory.bmc_mac), (Some(BOOT_MAC), Some(BMC_MAC)));
    assert_eq!((inventory.power, inventory.health), (Some(PowerState::On), None));
}

#[tokio::test(start_paused = true)]
async fn probe_does_without_what_a_bmc_leaves_out() {
    let desk = Desk::new(&[Habit::NoFru]).trouble(Trouble::BmcMissing);
    let Outcome::Probed { inventory, .. } = desk.once(probe()).await.unwrap() else { panic!() };
    assert_eq!((inventory.model, inventory.serial, inventory.bmc_mac), (None, None, None));
    assert_eq!((inventory.boot_mac, inventory.power), (Some(BOOT_MAC), Some(PowerState::Off)));
    // But for the NIC, which nothing tells.
    let fault = desk.once(Order::Probe { boot_mac: None }).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Permanent, Reason::NoBootMac));
}

#[tokio::test(start_paused = true)]
async fn arm_sets_one_network_boot_reads_it_back_and_starts_the_machine() {
    let desk = Desk::new(&[]);
    assert_eq!(desk.once(arm()).await, Ok(Outcome::Armed));
    assert_eq!(desk.did(), ["flags a0 04", "power on"]);
    desk.with(|inside| {
        assert_eq!(inside.machine.started_with, [ONCE]);
        assert!(inside.bmc.keeps_flags);
        assert!(
            inside.calls.iter().all(|call| call.starts_with("-I lanplus -H 192.0.2.20 -p 6230 -U root -E -C 17 -N"))
        );
    });
}

#[tokio::test(start_paused = true)]
async fn a_running_machine_is_switched_off_before_it_starts_from_the_network() {
    let desk = Desk::new(&[]).on();
    assert_eq!(desk.once(arm()).await, Ok(Outcome::Armed));
    assert_eq!(desk.did(), ["flags a0 04", "power off", "power on"]);

    let desk = Desk::new(&[Habit::LosesFlags]).on();
    assert_eq!(desk.once(arm()).await, Ok(Outcome::Armed));
    assert_eq!(desk.did(), ["flags a0 04", "power off", "flags a0 04", "power on"]);
    assert_eq!(desk.with(|inside| inside.machine.started_with.clone()), [ONCE]);
}

#[tokio::test(start_paused = true)]
async fn the_firmware_mode_is_the_one_asked_for() {
    for (mode, flags) in [(BootMode::Legacy, "flags 80 04"), (BootMode::AsIs, "flags a0 04")] {
        let desk = Desk::new(&[]);
        desk.once(Order::Arm { network_boot: NetworkBoot::Pxe, mode }).await.unwrap();
        assert_eq!(desk.did()[0], flags);
    }
    // As it is set.
    let desk = Desk::new(&[]);
    desk.with(|inside| inside.machine.set = Some(Override { network: false, once: false }));
    desk.once(Order::Arm { network_boot: NetworkBoot::Pxe, mode: BootMode::AsIs }).await.unwrap();
    assert_eq!(desk.did()[0], "flags 80 04");
    // IPMI knows no other network boot.
    let desk = Desk::new(&[]).on();
    let fault = desk.once(Order::Arm { network_boot: NetworkBoot::Http, mode: BootMode::Uefi }).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::HttpBootNotSupported));
    assert_eq!(desk.did(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn bmcs_that_keep_less_of_the_boot_flags_still_boot_from_the_network() {
    for habit in [Habit::KeepsDeviceOnly, Habit::HidesFlags, Habit::OwnTimer] {
        let desk = Desk::new(&[habit]);
        assert_eq!(desk.once(arm()).await, Ok(Outcome::Armed), "{habit:?}");
        assert_eq!(desk.with(|inside| inside.machine.started_with.clone()), [ONCE], "{habit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn boot_flags_that_are_refused_or_ignored_leave_the_power_alone() {
    let desk = Desk::new(&[Habit::NoFlags]).on();
    let fault = desk.once(arm()).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Permanent, Reason::IpmiRefused));
    assert!(fault.message.contains("rsp=0xcc"), "{fault}");
    assert_eq!(desk.did(), [""; 0]);

    let desk = Desk::new(&[]).on().trouble(Trouble::BmcIgnoresPatch);
    let fault = desk.once(arm()).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::BootOverrideNotKept));
    assert_eq!(desk.did(), ["flags a0 04"]);
    assert_eq!(desk.once(arm()).await, Ok(Outcome::Armed));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_may_have_happened_says_so() {
    let desk = Desk::new(&[Habit::DeadPower]);
    let fault = desk.once(arm()).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::OutcomeUnknown));
    for trouble in [Trouble::BmcError, Trouble::BmcLostAnswer] {
        // The first change is the boot flags': nothing has happened to the machine yet.
        let desk = Desk::new(&[]).trouble(trouble);
        let fault = desk.once(arm()).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Transient, "{fault}");
        assert_ne!(fault.reason, Reason::OutcomeUnknown);
        // This time it is power's.
        let desk = Desk::new(&[]).trouble(trouble);
        let fault = power::on(&desk.talk()).await.unwrap_err();
        assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::OutcomeUnknown));
    }
}

#[tokio::test(start_paused = true)]
async fn a_power_cycle_clears_the_boot_flags() {
    let desk = Desk::new(&[]).on();
    desk.with(|inside| inside.machine.set = Some(Override { network: true, once: false }));
    assert_eq!(desk.once(Order::PowerCycle).await, Ok(Outcome::PowerCycled));
    assert_eq!(desk.did(), ["flags 00 00", "power off", "power on"]);
    assert_eq!(desk.with(|inside| inside.machine.started_with.clone()), [None]);
    // None are set.
    let desk = Desk::new(&[]);
    assert_eq!(desk.once(Order::PowerCycle).await, Ok(Outcome::PowerCycled));
    assert_eq!(desk.did(), ["power on"]);
}

#[tokio::test(start_paused = true)]
async fn the_led_is_lit_as_long_as_the_bmc_can() {
    for (habits, led, notes) in
        [(&[][..], Led::On, 0), (&[Habit::NoForce], Led::For(255), 0), (&[Habit::NoLed], Led::Off, 1)]
    {
        let desk = Desk::new(habits);
        let Outcome::Prepared(done) = desk.once(prepare(Prepare::default())).await.unwrap() else { panic!() };
        assert_eq!((done.pending, done.disk, done.notes.len()), (None, None, notes), "{habits:?}");
        assert_eq!(desk.with(|inside| inside.bmc.led), led);
        desk.once(Order::Finish { power_off: false }).await.unwrap();
        assert_eq!(desk.with(|inside| inside.bmc.led), Led::Off);
    }
    // Looking changes nothing.
    let desk = Desk::new(&[]);
    let look = Order::Prepare { prepare: Arc::default(), apply: false, pending: None };
    assert!(matches!(desk.once(look).await, Ok(Outcome::Prepared(_))));
    assert_eq!(desk.did(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_ipmi_cannot_prepare_is_said_before_anything_is_done() {
    let settings = || [("NumLock".to_owned(), Secret::new("swordfish"))].into();
    let wishes = [
        Prepare { disk: DiskChoice::Slot("0".into()), ..Prepare::default() },
        Prepare { disk: DiskChoice::Mirror(["0".into(), "1".into()]), ..Prepare::default() },
        Prepare { bios: settings(), ..Prepare::default() },
        Prepare { manager: settings(), ..Prepare::default() },
    ];
    for wish in wishes {
        let desk = Desk::new(&[]);
        let fault = desk.once(prepare(wish)).await.unwrap_err();
        assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::NotPossibleOverIpmi));
        assert!(!fault.message.contains("swordfish"));
        assert_eq!(desk.with(|inside| inside.calls.len()), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn finish_asks_before_it_cuts_power() {
    let finish = Order::Finish { power_off: true };
    for (habits, willing, did) in [
        (&[][..], true, &["identify 0", "power soft"][..]),
        (&[], false, &["identify 0", "power soft", "power off"]),
        (&[Habit::NoSoft], true, &["identify 0", "power off"]),
    ] {
        let desk = Desk::new(habits).on();
        desk.with(|inside| inside.machine.willing = willing);
        assert_eq!(desk.once(finish.clone()).await, Ok(Outcome::Finished(PowerState::Off)));
        assert_eq!(desk.did(), did);
    }
    let desk = Desk::new(&[]);
    assert_eq!(desk.once(finish).await, Ok(Outcome::Finished(PowerState::Off)));
    assert_eq!(desk.did(), ["identify 0"]);
    let desk = Desk::new(&[]).on();
    assert_eq!(desk.once(Order::Finish { power_off: false }).await, Ok(Outcome::Finished(PowerState::On)));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_account_is_one_failed_login() {
    for (user, password) in [("root", "wrong"), ("nobody", PASSWORD)] {
        let mut desk = Desk::new(&[]);
        (desk.target.username, desk.target.password) = (user.into(), Secret::new(password));
        let fault = desk.once(arm()).await.unwrap_err();
        assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::AuthenticationFailed));
        assert!(!fault.message.contains("wrong") && fault.message.contains("192.0.2.20"), "{fault}");
        desk.with(|inside| {
            assert_eq!((inside.bmc.logins, inside.bmc.failed_logins, inside.calls.len()), (1, 1, 1));
        });
        // Also where the better cipher suite is refused first.
        let mut desk = Desk::new(&[]);
        (desk.target.username, desk.target.password) = (user.into(), Secret::new(password));
        desk.with(|inside| inside.bmc.config_mut().suites = vec![3]);
        desk.once(arm()).await.unwrap_err();
        desk.with(|inside| assert_eq!((inside.bmc.logins, inside.bmc.failed_logins), (1, 1)));
    }
    // What no BMC can have is not tried at all.
    let mut desk = Desk::new(&[]);
    desk.target.password = Secret::new("one more than twenty!");
    let fault = desk.once(arm()).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::PasswordTooLong));
    assert_eq!(desk.with(|inside| inside.calls.len()), 0);
    // An account that may only look.
    let fault = Desk::new(&[Habit::Operator]).once(arm()).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::InsufficientPrivilege));
}

#[tokio::test(start_paused = true)]
async fn the_cipher_suite_is_found_once() {
    for habits in [&[][..], &[Habit::SilentSuite]] {
        let desk = Desk::new(habits);
        desk.with(|inside| inside.bmc.config_mut().suites = vec![3]);
        let talk = desk.talk();
        assert_eq!(talk.suite(), None);
        assert_eq!(power::state(&talk).await, Ok(PowerState::Off));
        assert_eq!(power::state(&talk).await, Ok(PowerState::Off));
        assert_eq!(talk.suite(), Some(3));
        let suites = desk.with(|inside| {
            let word = |call: &String| call.split(" -C ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
            inside.calls.iter().map(word).collect::<Vec<_>>()
        });
        assert_eq!(suites, ["17", "3", "3", "3"]);
    }
    let desk = Desk::new(&[]);
    desk.with(|inside| inside.bmc.config_mut().suites = vec![1]);
    let fault = desk.once(arm()).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Permanent, Reason::CipherSuiteRefused));
    assert_eq!(desk.with(|inside| inside.bmc.logins), 0);
}

#[tokio::test(start_paused = true)]
async fn silence_and_busyness_pass() {
    let fault = Desk::new(&[Habit::Silent]).once(probe()).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::Unreachable));
    for (trouble, reason) in [
        (Trouble::BmcBusy, "BmcBusy"),
        (Trouble::BmcSessionsFull, "BmcBusy"),
        (Trouble::BmcReset, "Unreachable"),
        (Trouble::BmcReboots, "Unreachable"),
    ] {
        let desk = Desk::new(&[]).trouble(trouble);
        let fault = desk.once(arm()).await.unwrap_err();
        assert_eq!((fault.class, fault.reason.as_str()), (FaultClass::Transient, reason), "{trouble}");
        assert_eq!(desk.did(), [""; 0]);
    }
    let desk = Desk::new(&[]).trouble(Trouble::BmcSlow);
    assert_eq!(desk.once(arm()).await, Ok(Outcome::Armed));
}

#[tokio::test(start_paused = true)]
async fn an_action_ends_within_its_time() {
    let mut desk = Desk::new(&[Habit::DeadPower]);
    desk.target.timeouts.action = Duration::from_secs(5);
    let before = tokio::time::Instant::now();
    let fault = desk.once(arm()).await.unwrap_err();
    assert_eq!((fault.reason, before.elapsed()), (Reason::OutcomeUnknown, Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn what_a_bmc_tells_is_read() {
    let desk = Desk::new(&[]).on();
    let talk = desk.talk();
    let events = look::events(&talk, 10).await.unwrap();
    assert_eq!(
        (events[0].id.as_str(), events[0].event.as_str()),
        ("1", "Processor #0x01, Presence detected, Asserted")
    );
    assert_eq!(events[1].at, "11/21/2026 07:48:00 UTC");
    let sensors = look::sensors(&talk).await.unwrap();
    assert_eq!(sensors.iter().map(|sensor| sensor.is_alarm()).collect::<Vec<_>>(), [false, false, true]);
    let deep = manual::types::Depth { log: 5, clock: || Time(0) };
    let summary = manual::look(&desk.target, deep).await.unwrap();
    assert_eq!(summary.sensors, Some(manual::types::Sensors { read: 2, alarms: vec!["P1 Temp 97 degrees C".into()] }));
    assert_eq!(summary.log[0].message, "Temperature #0x01, Upper Critical going high, Asserted", "newest first");
    let lan = look::lan(&talk).await.unwrap();
    assert_eq!(lan.get("ip address"), Some("192.0.2.20"));
    assert_eq!(lan.get("SNMP Community String"), None);
    assert_eq!(look::chassis(&talk).await.unwrap().get("System Power"), Some("on"));
    assert_eq!(look::fru(&talk).await.unwrap().get("Board Mfg Date"), None);
    assert_eq!(boot::flags(&talk).await.unwrap().unwrap().device, boot::Device::None);
    assert!(ipmi::identify(&talk, true).await.unwrap());
}
