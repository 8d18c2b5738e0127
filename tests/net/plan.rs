//! Laws of `plan::boot` and `plan::lease`: who is given an installer, and who is given which address.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rackwright::model::*;
use rackwright::plan::boot::{self, Decision, FileAnswer, Firmware};
use rackwright::plan::lease::{self, NoLease};

use crate::rig::net::*;

const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));

fn why(world: &World, mac: Mac) -> &'static str {
    match boot::decide(world, mac) {
        Decision::Local { why, .. } => why,
        Decision::Install { .. } => "install",
    }
}

/// Everything that a client with this MAC can be told, by any firmware, name and source.
fn gets_installer(world: &World, mac: Mac, sources: &[IpAddr]) -> bool {
    let names = ["boot.ipxe".to_string(), format!("mac-{}.ipxe", mac.hex()), format!("mac-{}.preseed", mac.hex())];
    let body = |answer| match answer {
        FileAnswer::Body(body) | FileAnswer::Claim { body, .. } => body.contains("INSTALLER"),
        FileAnswer::NotFound | FileAnswer::Refused(_) => false,
    };
    names.iter().any(|name| sources.iter().any(|source| body(boot::file(world, mac, name, *source))))
}

#[test]
fn only_an_announced_and_armed_host_is_installed() {
    let boots = mac(3);
    assert_eq!(why(&world(vec![(host(1), armed(1))]), boots), "install");
    assert_eq!(why(&world(vec![(host(1), armed(1))]), mac(77)), "unknown machine");
    assert_eq!(why(&world(vec![(host(1), armed(1))]), mac(2)), "this is a BMC, not a machine");
    assert!(why(&world(vec![(host(1), installed(1))]), boots).contains("installed at the wanted"));
    assert!(why(&world(vec![(host(1), installed(2))]), boots).contains("lower"));
    assert!(why(&world(vec![(host(1), HostFacts::default())]), boots).contains("announced"));
    let announced = HostFacts { armed: None, ..armed(1) };
    assert!(why(&world(vec![(host(1), announced.clone())]), boots).contains("not armed"));
    let mut by_hand = host(1);
    by_hand.bmc.protocol = Protocol::None;
    assert_eq!(why(&world(vec![(by_hand, announced)]), boots), "install");
    let mut reinstall = host(1);
    reinstall.generation = Generation(2);
    assert!(why(&world(vec![(reinstall.clone(), installed(1))]), boots).contains("announced"));
    assert_eq!(
        why(&world(vec![(reinstall, HostFacts { installed: installed(1).installed, ..armed(2) })]), boots),
        "install"
    );
    for (state, word) in [(Lifecycle::Maintenance, "maintenance"), (Lifecycle::Retired, "retired")] {
        let mut spec = host(1);
        spec.state = state;
        assert!(why(&world(vec![(spec, armed(1))]), boots).contains(word));
    }
    let mut locked = world(vec![(host(1), armed(1))]);
    locked.consent = Consent::Locked;
    assert!(why(&locked, boots).contains("--first-run"));
    locked.desired = None;
    assert!(why(&locked, boots).contains("no revision"));
}

#[test]
fn an_observed_nic_counts_where_the_repository_names_none() {
    let mut spec = host(1);
    spec.boot_mac = None;
    let seen = HostFacts { boot_mac: Some(mac(500)), ..armed(1) };
    let mut world = world(vec![(spec, seen)]);
    assert_eq!(why(&world, mac(500)), "install");
    assert_eq!(why(&world, mac(501)), "unknown machine");
    // An index that lags behind the facts decides nothing.
    world.boot_macs = Arc::new(BTreeMap::from([(mac(501), host_id("hv1"))]));
    assert_eq!(why(&world, mac(501)), "unknown machine");
    // The repository's word is stronger than what was observed.
    let named = HostFacts { boot_mac: Some(mac(500)), ..armed(1) };
    assert_eq!(why(&crate::rig::net::world(vec![(host(1), named)]), mac(500)), "unknown machine");
}

#[test]
fn dhcp_follows_the_table_and_does_not_tell_install_from_local() {
    let told = |facts: HostFacts, firmware: Firmware, mac: Mac| {
        boot::dhcp(&world(vec![(host(1), facts)]), mac, firmware).map(|options| options.file)
    };
    let pxe = |arch| Firmware { arch: Some(arch), pxe: true, ..Firmware::default() };
    for (firmware, file) in [
        (pxe(0), "undionly.kpxe"),
        (Firmware { arch: None, ..pxe(0) }, "undionly.kpxe"),
        (pxe(6), "ipxe.efi"),
        (pxe(7), "ipxe.efi"),
        (pxe(9), "ipxe.efi"),
        (pxe(11), "ipxe-arm64.efi"),
        (pxe(16), "http://10.255.255.1:9999/assets/ipxe.efi"),
        (Firmware { http: true, ..Firmware::default() }, "http://10.255.255.1:9999/assets/ipxe.efi"),
        (Firmware { http: true, pxe: false, ..pxe(19) }, "http://10.255.255.1:9999/assets/ipxe-arm64.efi"),
        (Firmware { ipxe: true, ..pxe(0) }, "http://10.255.255.1:9999/boot/52:54:00:00:00:03/boot.ipxe"),
        (Firmware { ipxe: true, ..Firmware::default() }, "http://10.255.255.1:9999/boot/52:54:00:00:00:03/boot.ipxe"),
    ] {
        for facts in [armed(1), installed(1)] {
            assert_eq!(told(facts, firmware, mac(3)).as_deref(), Some(file), "{firmware:?}");
        }
        assert_eq!(told(armed(1), firmware, mac(2)), None, "a BMC does not boot from us");
    }
    for firmware in [Firmware::default(), pxe(10), pxe(0xffff)] {
        assert_eq!(told(armed(1), firmware, mac(3)), None, "{firmware:?}");
    }
    let mut spec = host(1);
    spec.local_boot = LocalBoot::Firmware;
    let silent = world(vec![(spec.clone(), installed(1))]);
    assert_eq!(boot::dhcp(&silent, mac(3), pxe(7)), None);
    assert!(boot::dhcp(&world(vec![(spec, armed(1))]), mac(3), pxe(7)).is_some());
}

#[test]
fn machine_files_are_for_the_address_leased_to_the_machine() {
    let mut world = world(vec![(host(1), armed(1))]);
    let preseed = "mac-525400000003.preseed";
    let at = |world: &World, name: &str, source: &str| boot::file(world, mac(3), name, source.parse().unwrap());
    assert!(matches!(at(&world, "boot.ipxe", "10.255.255.100"), FileAnswer::Refused(_)), "no lease yet");
    lease_to(&mut world, mac(3), ip("10.255.255.100"), NOW);
    assert!(matches!(at(&world, "boot.ipxe", "10.255.255.100"), FileAnswer::Body(b) if b.contains("INSTALLER")));
    assert!(matches!(at(&world, preseed, "::ffff:10.255.255.100"), FileAnswer::Claim { mac: m, .. } if m == mac(3)));
    assert!(
        matches!(at(&world, preseed, "10.255.255.101"), FileAnswer::Refused(why) if why.contains("10.255.255.101"))
    );
    assert!(matches!(at(&world, preseed, "::1"), FileAnswer::Refused(_)));
    for name in
        ["mac-525400000005.preseed", "mac-52540000000.preseed", "MAC-525400000003.preseed", "mac-.preseed", "x", ""]
    {
        assert_eq!(at(&world, name, "10.255.255.100"), FileAnswer::NotFound, "{name}");
    }
    let mut site = (*world.policy).clone();
    site.site.leases_are_ours = false;
    world.policy = Arc::new(site);
    assert!(
        matches!(at(&world, preseed, "10.255.255.101"), FileAnswer::Refused(_)),
        "a known lease binds all the same"
    );
    world.leases = Arc::default();
    assert!(matches!(at(&world, preseed, "10.255.255.101"), FileAnswer::Claim { .. }));
}

#[test]
fn whoever_is_not_to_be_installed_finds_local_boot_only() {
    let mut spec = host(2);
    spec.local_boot = LocalBoot::Sanboot;
    let mut world = world(vec![(host(1), installed(1)), (spec, installed(1))]);
    lease_to(&mut world, mac(3), ip("10.255.255.100"), NOW);
    let read = |mac, name: &str| boot::file(&world, mac, name, ip("10.255.255.100").into());
    assert_eq!(read(mac(3), "boot.ipxe"), FileAnswer::Body(LocalBoot::Auto.script().into()));
    assert_eq!(read(mac(5), "boot.ipxe"), FileAnswer::Body(LocalBoot::Sanboot.script().into()));
    assert_eq!(read(mac(99), "boot.ipxe"), FileAnswer::Body(LocalBoot::Auto.script().into()));
    assert_eq!(read(mac(3), "mac-525400000003.preseed"), FileAnswer::NotFound);
    assert_eq!(read(mac(99), "mac-525400000063.preseed"), FileAnswer::NotFound);
    assert_eq!(boot::host_by_address(&world, "::ffff:10.255.255.100".parse().unwrap()), Some(mac(3)));
    assert_eq!(boot::host_by_address(&world, ip("10.255.255.101").into()), None);
}

fn any_facts() -> impl Strategy<Value = HostFacts> {
    let generation = || proptest::option::of(0_u32..4);
    (generation(), generation(), generation(), proptest::option::of(0_u64..12)).prop_map(|(intent, arm, done, seen)| {
        HostFacts {
            intent: intent.map(Generation),
            armed: arm
                .map(|generation| Armed { generation: Generation(generation), tries: Tries { at: NOW, times: 1 } }),
            installed: done.and_then(|generation| installed(generation).installed),
            boot_mac: seen.map(mac),
            ..HostFacts::default()
        }
    })
}

fn any_host(n: u64) -> impl Strategy<Value = (HostSpec, HostFacts)> {
    let state =
        prop_oneof![4 => Just(Lifecycle::Present), 1 => Just(Lifecycle::Maintenance), 1 => Just(Lifecycle::Retired)];
    let how = prop_oneof![Just(LocalBoot::Auto), Just(LocalBoot::Firmware)];
    (0_u32..4, state, how, any::<(bool, bool)>(), 0_u8..8, any_facts()).prop_map(
        move |(generation, state, how, (bmc, named), blocked, facts)| {
            let mut spec = host(n);
            spec.generation = Generation(generation);
            (spec.state, spec.local_boot) = (state, how);
            if !bmc {
                spec.bmc.protocol = Protocol::None;
            }
            spec.boot_mac = spec.boot_mac.filter(|_| named);
            if blocked == 0 {
                spec.blocked.push("`bmc.password` cannot be read".into());
            }
            (spec, facts)
        },
    )
}

fn any_world() -> impl Strategy<Value = World> {
    (any_host(1), any_host(2), any_host(3), 0_u8..8, any::<bool>(), 0_u64..12, 0_u8..12).prop_map(
        |(a, b, c, locked, ours, leased, last)| {
            let mut world = world(vec![a, b, c]);
            if locked == 0 {
                world.consent = Consent::Locked;
            }
            let mut policy = (*world.policy).clone();
            policy.site.leases_are_ours = ours;
            world.policy = Arc::new(policy);
            lease_to(&mut world, mac(leased), Ipv4Addr::new(10, 255, 255, 98 + last), NOW);
            world
        },
    )
}

proptest! {
    #[test]
    fn no_route_gives_an_installer_without_consent(world in any_world(), n in 0_u64..12, octet in 98_u8..112) {
        let mac = mac(n);
        let sources = [ANYWHERE, IpAddr::V4(Ipv4Addr::new(10, 255, 255, octet))];
        let handed_out = gets_installer(&world, mac, &sources);
        if let Decision::Install { host } = boot::decide(&world, mac) {
            let (spec, facts) = (world.spec(&host).unwrap(), world.facts(&host).unwrap());
            prop_assert_eq!(world.consent, Consent::Open);
            prop_assert_eq!(spec.state, Lifecycle::Present);
            prop_assert!(facts.installed.as_ref().is_none_or(|done| done.generation < spec.generation));
            let claimed = facts.claim.as_ref().is_some_and(|claim| claim.generation == spec.generation);
            prop_assert!(spec.blocked.is_empty() || claimed);
            prop_assert!(facts.intent >= Some(spec.generation));
            prop_assert!(!spec.has_bmc() || facts.armed.map(|armed| armed.generation) == Some(spec.generation));
            prop_assert!(spec.boot_mac == Some(mac) || (spec.boot_mac.is_none() && facts.boot_mac == Some(mac)));
        } else {
            prop_assert!(!handed_out);
        }
        // Nothing that DHCP says names an installer, and what the script says depends on the decision alone.
        for arch in [None, Some(0), Some(7), Some(16)] {
            let firmware = Firmware { arch, pxe: true, ipxe: n % 2 == 0, http: false };
            let told = boot::dhcp(&world, mac, firmware).map(|options| options.file);
            prop_assert!(told.is_none_or(|file| file.ends_with("pxe") || file.ends_with(".efi")));
        }
        // With leases of our own, a machine's files go to the address leased to it and to nobody else.
        if handed_out && world.policy.site.leases_are_ours {
            prop_assert!(world.leases.of(mac).is_some_and(|lease| sources.contains(&IpAddr::V4(lease.ip))));
        }
    }

    #[test]
    fn two_macs_never_hold_one_address(steps in proptest::collection::vec((0_u64..16, 0_u8..6, 95_u8..115, 0_i64..5000), 1..120)) {
        let mut fixed = host(1);
        fixed.address = Some(ip("10.255.255.50"));
        let mut world = world(vec![(fixed, armed(1))]);
        let mut now = NOW;
        let mut held: BTreeMap<Ipv4Addr, (Mac, Time)> = BTreeMap::new();
        for (n, what, octet, wait) in steps {
            now = now + Duration::from_secs(wait.unsigned_abs());
            let mac = mac(n);
            let wish = Ipv4Addr::new(10, 255, 255, octet);
            match what {
                0 => {
                    let event = Event::Declined { mac, ip: wish, until: now + Duration::from_secs(600) };
                    fold(&mut world, &event, now);
                    held.remove(&wish);
                }
                1 => {
                    if let Some(ip) = world.leases.of(mac).map(|lease| lease.ip) {
                        fold(&mut world, &Event::Released { mac, ip }, now);
                        held.remove(&ip);
                    }
                }
                _ => {
                    let asked = (what == 2).then_some(wish);
                    match lease::choose(&world, mac, asked, ip("10.255.255.1"), now) {
                        Ok((ip, _)) => {
                            prop_assert!(lease::may_hold(&world, mac, ip, now), "choose and may_hold disagree");
                            let until = now + Duration::from_secs(3600);
                            let event = Event::Leased { mac, ip, until, by: LeaseOrigin::Own };
                            prop_assert_eq!(fold(&mut world, &event, now), Verdict::Ok);
                            if let Some((other, end)) = held.get(&ip) {
                                prop_assert!(*other == mac || *end <= now, "{} taken from {}", ip, other);
                            }
                            held.retain(|_, (holder, _)| *holder != mac);
                            held.insert(ip, (mac, until));
                            prop_assert!((ip.octets()[3] == 50 && mac == crate::rig::net::mac(3)) || (100..110).contains(&ip.octets()[3]));
                            let again = lease::choose(&world, mac, None, ip, until).unwrap().0;
                            prop_assert_eq!(again, ip, "a renewal moves");
                        }
                        Err(error) => {
                            prop_assert_eq!(error, NoLease::Exhausted);
                            for octet in 100..110 {
                                prop_assert!(!lease::may_hold(&world, mac, Ipv4Addr::new(10, 255, 255, octet), now));
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn addresses_in_order() {
    let segment = ip("10.255.255.1");
    let later = NOW + Duration::from_secs(3600);
    let mut fixed = host(1);
    fixed.address = Some(ip("10.255.255.50"));
    let mut world = world(vec![(fixed, armed(1))]);
    let choose = |world: &World, n, wish, now| lease::choose(world, mac(n), wish, segment, now).map(|(ip, _)| ip);
    assert_eq!(choose(&world, 3, None, NOW), Ok(ip("10.255.255.50")), "the fixed address");
    assert!(!lease::may_hold(&world, mac(9), ip("10.255.255.50"), NOW), "is reserved");
    assert_eq!(choose(&world, 9, Some(ip("10.255.255.105")), NOW), Ok(ip("10.255.255.105")), "the one asked for");
    for wish in ["10.255.255.50", "10.255.255.1", "10.255.255.254", "10.255.255.7", "192.0.2.1"] {
        let got = choose(&world, 9, Some(ip(wish)), NOW).unwrap();
        assert!((100..110).contains(&got.octets()[3]), "{wish} -> {got}");
    }
    assert_eq!(choose(&world, 9, None, NOW), choose(&world, 9, None, NOW), "deterministic");
    assert_eq!(lease::choose(&world, mac(9), None, ip("192.0.2.1"), NOW).unwrap_err(), NoLease::UnknownSegment);
    // Nine leases that run out one after the other: the tenth address is given first, then the oldest.
    for n in 0..9_u8 {
        let at = Ipv4Addr::new(10, 255, 255, 100 + n);
        lease_to(&mut world, mac(100 + u64::from(n)), at, NOW + Duration::from_secs(100 - u64::from(n)));
    }
    assert_eq!(choose(&world, 9, None, later), Ok(ip("10.255.255.109")));
    lease_to(&mut world, mac(200), ip("10.255.255.109"), later + Duration::from_secs(1));
    assert_eq!(choose(&world, 9, None, later), Ok(ip("10.255.255.108")), "the one that ran out first");
    assert_eq!(choose(&world, 100, None, later), Ok(ip("10.255.255.100")), "its own, though it ran out");
    assert_eq!(choose(&world, 9, None, NOW), Err(NoLease::Exhausted));
}

#[test]
fn a_full_rack_gets_sixty_thousand_addresses() {
    let mut wide = subnet();
    wide.net = "10.0.0.0/16".parse().unwrap();
    (wide.first, wide.last, wide.gateway) = (ip("10.0.1.0"), ip("10.0.255.254"), None);
    let mut world = world(Vec::new());
    world.policy = Arc::new(policy(vec![wide]));
    let size = u32::from(ip("10.0.255.254")) - u32::from(ip("10.0.1.0")) + 1;
    for n in 0..u64::from(size) {
        let (ip, _) = lease::choose(&world, mac(n), None, ip("10.0.0.1"), NOW).unwrap();
        lease_to(&mut world, mac(n), ip, NOW + Duration::from_secs(3600));
    }
    assert_eq!(world.leases.len(), size as usize);
    assert_eq!(lease::choose(&world, mac(1 << 20), None, ip("10.0.0.1"), NOW).unwrap_err(), NoLease::Exhausted);
}
