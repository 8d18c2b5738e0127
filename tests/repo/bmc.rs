//! How a machine is prepared, as the repository says it: slots, consent to delete volumes, settings, certificates.

use std::sync::Arc;

use rackwright::model::desired::DISK_MARK;
use rackwright::model::{
    BmcFacts, BootMode, ClusterName, DiskChoice, HostId, HostSpec, NetworkBoot, Prepare, Protocol,
};

use crate::rig::repo::{c1, errors, load, valid};

const FINGERPRINT: &str =
    "0A:1b:2C:3d:4E:5f:60:71:82:93:A4:b5:C6:d7:E8:f9:0A:1b:2C:3d:4E:5f:60:71:82:93:A4:b5:C6:d7:E8:f9";

fn bootstrap(config: &str, bmc: &str) -> String {
    format!(
        "cluster: {{ ansible: none }}\nbootstrap:\n  \"52:54:00:aa:00:01\":\n    node: {{ hostname: hv1 }}\n    \
         config: {{ boot_mac: \"52:54:00:bb:00:01\", {config} }}\n    bmc: {{ username: u, password: p, {bmc} }}\n"
    )
}

fn host(config: &str, bmc: &str) -> Arc<HostSpec> {
    valid(&c1(&bootstrap(config, bmc))).hosts[&HostId::new(&ClusterName::new("c1"), "hv1")].clone()
}

#[test]
fn what_is_wanted_before_an_install_is_read() {
    let spec = host(
        "system_disks: [\"00\", \"1\"], wipe: volumes",
        &format!(
            "fingerprint: \"{FINGERPRINT}\", network_boot: http, boot_mode: as-is, \
             bios_settings: {{ NumLock: on, Delay: 0x10, Word: \"yes\", Text: a b }}, manager_settings: {{ A.1.B: 5 }}"
        ),
    );
    assert_eq!(spec.prepare.disk, DiskChoice::Mirror(["0".into(), "1".into()]));
    assert!(spec.prepare.replace_volumes && spec.blocked.is_empty());
    let bios: Vec<_> = spec.prepare.bios.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
    assert_eq!(bios, [("Delay", "0x10"), ("NumLock", "on"), ("Text", "a b"), ("Word", "yes")], "as written");
    assert_eq!(spec.prepare.manager["A.1.B"].reveal(), "5");
    assert_eq!(spec.bmc.protocol, Protocol::Auto, "nothing is said");
    assert_eq!((spec.bmc.network_boot, spec.bmc.boot_mode), (NetworkBoot::Http, BootMode::AsIs));
    assert_eq!(spec.bmc.fingerprint.as_deref(), Some(&*FINGERPRINT.replace(':', "").to_lowercase()));
    assert!(!format!("{spec:?}").contains("a b"), "a setting may be a password");
}

#[test]
fn hosts_that_want_the_same_share_it_and_nothing_has_no_digest() {
    let plain = host("system_disks: [/dev/sda]", "redfish: yes");
    assert_eq!((&*plain.prepare, plain.bmc.protocol), (&Prepare::default(), Protocol::Redfish));
    assert!(plain.prepare.id.is_none());
    let text = bootstrap("system_disks: [\"3\"]", "bios_settings: { A: B }");
    let second = text.lines().skip(2).collect::<Vec<_>>().join("\n");
    let second = second.replace("aa:00:01", "aa:00:02").replace("bb:00:01", "bb:00:02").replace("hv1", "hv2");
    let desired = valid(&c1(&format!("{text}{second}\n")));
    let hosts: Vec<_> = desired.hosts.values().collect();
    assert!(Arc::ptr_eq(&hosts[0].prepare, &hosts[1].prepare));
    let of = |config: &str, bmc: &str| host(config, bmc).prepare.id.clone();
    let ids = [
        of("system_disks: [\"3\"]", ""),
        of("system_disks: [\"4\"]", ""),
        of("system_disks: [\"3\", \"4\"]", ""),
        of("system_disks: [\"3\"], wipe: volumes", ""),
        of("system_disks: [\"3\"]", "bios_settings: { A: B }"),
        of("system_disks: [\"3\"]", "manager_settings: { A: B }"),
        of("system_disks: [\"3\"]", "bios_settings: { A: C }"),
    ];
    let different: std::collections::BTreeSet<_> = ids.iter().flatten().collect();
    assert_eq!(different.len(), ids.len());
}

#[test]
fn a_fingerprint_makes_the_account_another_one() {
    let id = |bmc: &str| host("system_disks: [/dev/sda]", bmc).bmc.credentials[0].id.clone();
    let plain = FINGERPRINT.replace(':', "");
    assert_eq!(id(&format!("fingerprint: {FINGERPRINT}")), id(&format!("fingerprint: \"{plain}\"")));
    assert_ne!(id(&format!("fingerprint: {FINGERPRINT}")), id(""));
    for bad in ["12", "\"zz\"", &plain[1..], &FINGERPRINT.replace(':', "::"), &FINGERPRINT[..94]] {
        let found =
            errors(&bootstrap("system_disks: [/dev/sda]", &format!("fingerprint: \"{}\"", bad.trim_matches('"'))));
        assert_eq!(found, [(6, "bad-fingerprint".to_string())], "{bad}");
    }
}

#[test]
fn settings_are_in_no_finding() {
    let long = "hunter2".repeat(400);
    let text = bootstrap("system_disks: [/dev/sda]", &format!("bios_settings: {{ A: \"{long}\", B: [hunter2] }}"));
    let findings = load(&c1(&text)).findings;
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(!format!("{findings:?}").contains("hunter2"));
}

/// A slot's disk is in no file before the BMC has said what it is, and only as long as the same is asked for.
#[test]
fn the_mark_gives_way_to_the_disk_that_was_found_for_this_choice() {
    let spec = host("system_disks: [\"3\"]", "");
    let preseed = spec.files.iter().find(|file| file.claims).expect("the answer file");
    assert!(preseed.body.contains(&format!("target_disk='{DISK_MARK}'")), "{}", preseed.body);
    let found = |disk: &str, of| BmcFacts { disk: Some(disk.into()), prepared_as: of, ..BmcFacts::default() };
    let disk = "detect:MZ7KH480HAHQ0D3:480GB:0";
    let facts = found(disk, spec.prepare.id.clone());
    let body = spec.body_for(preseed, &facts).expect("known");
    assert!(body.contains(&format!("target_disk='{disk}'")) && !body.contains(DISK_MARK));
    let other = host("system_disks: [\"4\"]", "").prepare.id.clone();
    let bad = ["detect:a'$(reboot)':480GB:0", "/dev/sda", "detect:a b:1GB:0", "detect:a\n:1GB:0", ""];
    let never = bad.iter().map(|bad| found(bad, spec.prepare.id.clone()));
    for facts in never.chain([found(disk, other), found(disk, None), BmcFacts::default()]) {
        assert!(!spec.knows_disk(&facts) && spec.body_for(preseed, &facts).is_none(), "{facts:?}");
    }
    let named = host("system_disks: [/dev/sda]", "");
    let preseed = named.files.iter().find(|file| file.claims).expect("the answer file");
    let body = named.body_for(preseed, &BmcFacts::default()).expect("nothing to find out");
    assert!(Arc::ptr_eq(&body, &preseed.body));
}

#[test]
fn ipmi_needs_the_boot_nic_and_orders_pxe_only() {
    let spec = host("system_disks: [/dev/sda]", "protocol: ipmi");
    assert_eq!((spec.bmc.protocol, spec.blocked.len()), (Protocol::Ipmi, 0));
    let without =
        bootstrap("", "protocol: ipmi").replace("boot_mac: \"52:54:00:bb:00:01\",", "system_disks: [/dev/sda],");
    let found = errors(&without);
    assert!(found.iter().any(|it| it.1 == "missing-boot-mac"), "{found:?}");
    let found = errors(&bootstrap("system_disks: [/dev/sda]", "protocol: ipmi, network_boot: http"));
    assert!(found.iter().any(|it| it.1 == "bad-value"), "{found:?}");
}
