//! Whole installs over HTTP, with the real core behind the server: what is handed out, what is believed.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rackwright::model::desired::TOKEN_MARK;
use rackwright::model::{
    BootFile, ClaimBy, Desired, Event, Generation, HostFacts, HostSpec, HostState, Inventory, LocalBoot, Protocol,
    Revision, World,
};
use rackwright::settings::DhcpMode;
use serde_json::{Value, json};

use crate::rig::http::{NOW, Reply, Rig, settings};
use crate::rig::net::{armed, cluster, host, host_id, lease_to, mac, world};

/// Where hv1 and hv2 are.
const HV1: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const HV2: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 12);

/// Seen, read, prepared, armed for generation 1.
fn ready() -> HostFacts {
    HostFacts {
        bmc_seen: Some((Ipv4Addr::new(192, 0, 2, 7).into(), NOW)),
        inventory: Some((Inventory::default(), NOW)),
        prepared: Some(Generation(1)),
        ..armed(1)
    }
}

/// One cluster of these hosts, adopted, with leases for the boot NICs of hv1 and hv2.
fn rack(hosts: Vec<(HostSpec, HostFacts)>) -> World {
    let specs: Vec<HostSpec> = hosts.iter().map(|(spec, _)| spec.clone()).collect();
    let mut world = world(hosts);
    world.adopted = true;
    world.desired = Some(Arc::new(Desired::new(Some(Revision::new("feed")), [cluster()], specs, Vec::new())));
    for (n, ip) in [(3, HV1), (5, HV2)] {
        lease_to(&mut world, mac(n), ip, NOW);
    }
    world
}

async fn get(rig: &Rig, from: Ipv4Addr, path: &str) -> Reply {
    rig.ask_from(from, "GET", path, &[], b"").await
}

async fn tell(rig: &Rig, from: Ipv4Addr, token: &str, body: Value) -> Reply {
    let path = if token.is_empty() { "/checkin/host".to_owned() } else { format!("/checkin/host/{token}") };
    rig.ask_from(from, "POST", &path, &[], body.to_string().as_bytes()).await
}

fn token_in(preseed: &str) -> String {
    let token = preseed.split("/checkin/host/").nth(1).and_then(|rest| rest.get(..32)).expect("a token");
    assert!(!preseed.contains(TOKEN_MARK));
    token.to_owned()
}

fn report(action: &str) -> Value {
    json!({ "action": action, "hostname": "hv1.example.net", "host_macaddr": mac(3).to_string().to_uppercase(),
        "host_ipaddr": "127.0.0.11", "bmc_macaddr": "", "bmc_ipaddr": "" })
}

fn claims(rig: &Rig) -> usize {
    rig.events().iter().filter(|event| matches!(event, Event::Claimed { .. })).count()
}

#[tokio::test]
async fn an_install_from_the_boot_script_to_the_first_boot() {
    let rig = Rig::living(settings(), rack(vec![(host(1), ready()), (host(2), ready())])).await;
    assert_eq!(host_of(&rig).await["state"], "pxe-booting");
    let (script, hex) = (format!("/boot/{}/boot.ipxe", mac(3)), mac(3).hex());
    let preseed = format!("/boot/{hex}/mac-{hex}.preseed");
    for name in [&script, &script.to_uppercase().replace("/BOOT/", "/boot/").replace("BOOT.IPXE", "boot.ipxe")] {
        let reply = get(&rig, HV1, name).await;
        assert_eq!((reply.code, reply.text().contains("INSTALLER")), (200, true), "{name}");
    }
    assert_eq!(get(&rig, HV2, &script).await.code, 403, "hv2 is not hv1");
    assert_eq!(get(&rig, HV2, &preseed).await.code, 403);
    let head = rig.ask_from(HV1, "HEAD", &preseed, &[], b"").await;
    assert_eq!((head.code, claims(&rig)), (200, 0), "HEAD claims nothing");

    let (old, body) = (token_in(&get(&rig, HV1, &preseed).await.text()), get(&rig, HV1, &preseed).await);
    assert_eq!(head.header("content-length"), Some(body.body.len().to_string().as_str()));
    let token = token_in(&body.text());
    assert_ne!(old, token);
    assert_eq!(claims(&rig), 2);

    for (from, token, why) in [
        (HV1, &old[..], "newest install"),
        (HV1, "", "needs the token"),
        (HV1, "ffffffffffffffffffffffffffffffff", "newest install"),
        (HV1, "not-a-token", "wrong token"),
        (HV2, &token[..], "cluster1/hv2's"),
    ] {
        let reply = tell(&rig, from, token, report("install-complete")).await;
        assert_eq!(reply.code, 409, "{from} {token}: {reply:?}");
        assert!(reply.message().contains(why), "{reply:?}");
    }
    assert_eq!(host_of(&rig).await["state"], "installing");
    assert_eq!(tell(&rig, HV1, &token, report("install-start")).await.code, 200);
    for _ in 0..2 {
        assert_eq!(tell(&rig, HV1, &token, report("install-complete")).await.code, 200, "again is as good as once");
    }
    assert_eq!(host_of(&rig).await["generation"], json!({ "wanted": 1, "installed": 1 }));
    for _ in 0..100 {
        let reply = get(&rig, HV1, &script).await;
        assert_eq!((reply.code, reply.text().as_str()), (200, LocalBoot::Auto.script()));
    }
    assert_eq!(get(&rig, HV1, &preseed).await.code, 404);
    assert_eq!(tell(&rig, HV1, &old, report("install-complete")).await.code, 409);
    assert_eq!(tell(&rig, HV1, &token, report("system-boot_initial")).await.code, 200);
    assert_eq!(host_of(&rig).await["state"], "booted-initial", "hv2 is still to come");
    assert_eq!(claims(&rig), 2);

    for path in ["/", "/api/v1/hosts", "/api/v1/clusters", "/api/v1/rack", "/metrics", "/api/v1/openapi.json"] {
        let text = rig.get(path).await.text();
        assert!(!text.contains(&token) && !text.contains(&old) && !text.contains("planted-secret"), "{path}");
    }
}

async fn host_of(rig: &Rig) -> Value {
    rig.get("/api/v1/hosts/cluster1/hv1").await.json()
}

#[tokio::test]
async fn a_claim_by_check_in() {
    let mut spec = host(1);
    spec.claim = ClaimBy::CheckIn;
    spec.files = vec![BootFile { name: "boot.ipxe".into(), body: "INSTALLER".into(), claims: false }];
    let rig = Rig::living(settings(), rack(vec![(spec, armed(1))])).await;
    let claim = || json!({ "action": "claim", "host_macaddr": mac(3).to_string() });
    let refused = tell(&rig, HV2, "", claim()).await;
    assert_eq!((refused.code, refused.json().get("token")), (409, None), "hv2 may not claim for hv1");
    let granted = tell(&rig, HV1, "", claim()).await;
    assert_eq!((granted.code, granted.header("cache-control")), (200, Some("no-store")));
    let token = granted.json()["token"].as_str().unwrap().to_owned();
    let uri = granted.json()["checkin_uri"].as_str().unwrap().to_owned();
    assert!(uri.starts_with("http://10.255.255.1:") && uri.ends_with(&format!("/checkin/host/{token}")), "{uri}");
    let second = tell(&rig, HV1, "", claim()).await.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(tell(&rig, HV1, &token, report("install-complete")).await.code, 409, "replaced");
    assert_eq!(tell(&rig, HV1, &second, report("install-complete")).await.code, 200);
    let late = tell(&rig, HV1, "", claim()).await;
    assert_eq!(late.code, 409);
    assert!(late.message().contains("installed at the wanted generation"), "{late:?}");
}

#[tokio::test]
async fn an_unknown_machine_is_told_to_boot_its_disk_and_believed_in_nothing() {
    let rig = Rig::living(settings(), rack(vec![(host(1), armed(1))])).await;
    let before = rig.world.borrow().hosts.clone();
    let stranger = mac(0x99).hex();
    let reply = get(&rig, HV2, &format!("/boot/{stranger}/boot.ipxe")).await;
    assert_eq!((reply.code, reply.text().as_str()), (200, LocalBoot::Auto.script()));
    assert_eq!(get(&rig, HV2, &format!("/boot/{stranger}/mac-{stranger}.preseed")).await.code, 404);
    for action in ["install-start", "install-complete", "system-boot_initial", "system-boot_configured", "claim"] {
        let reply = tell(&rig, HV2, "", json!({ "action": action, "host_macaddr": mac(0x99).to_string() })).await;
        assert_eq!(reply.code, 409, "{action}: {reply:?}");
    }
    assert_eq!(rig.world.borrow().hosts, before);
}

#[tokio::test]
async fn a_host_without_bmc_is_answered_as_armed_once_its_install_is_announced() {
    let mut spec = host(1);
    spec.bmc.protocol = Protocol::None;
    let path = format!("/boot/{}/boot.ipxe", mac(3));
    let rig = Rig::living(settings(), rack(vec![(spec.clone(), HostFacts::default())])).await;
    assert_eq!(get(&rig, HV1, &path).await.text(), LocalBoot::Auto.script(), "not announced yet");
    let announced = HostFacts { armed: None, ..armed(1) };
    let rig = Rig::living(settings(), rack(vec![(spec, announced)])).await;
    assert!(get(&rig, HV1, &path).await.text().contains("INSTALLER"));
}

#[tokio::test]
async fn a_site_with_its_own_dnsmasq_tells_us_whose_address_it_is() {
    let mut own = settings();
    own.network.dhcp_mode = DhcpMode::Proxy;
    let mut world = rack(vec![(host(1), armed(1))]);
    world.leases = Arc::default();
    Arc::make_mut(&mut world.policy).site.leases_are_ours = false;
    let rig = Rig::living(own, world).await;
    let preseed = format!("/boot/{0}/mac-{0}.preseed", mac(3).hex());
    let notice = json!({ "action": "add", "macaddr": mac(3).to_string().to_uppercase(), "ipaddr": HV1.to_string(),
        "hostname": null, "client_id": null, "expiry": null, "vendor_class": null, "user_class": null });
    let header = [("ContentType", "application/json")];
    let reply = rig.ask("POST", "/checkin/dnsmasq", &header, notice.to_string().as_bytes()).await;
    assert_eq!(reply.code, 200, "{reply:?}");
    assert_eq!(get(&rig, HV2, &preseed).await.code, 403);
    token_in(&get(&rig, HV1, &preseed).await.text());
    let bmc = json!({ "action": "old", "macaddr": mac(2).to_string(), "ipaddr": "192.0.2.7", "expiry": 1 });
    assert_eq!(rig.post("/checkin/dnsmasq", bmc.to_string().as_bytes()).await.code, 200);
    let world = rig.world.borrow().clone();
    let facts = world.facts(&host_id("hv1")).unwrap();
    assert_eq!(facts.bmc_seen.map(|(ip, _)| ip.to_string()).as_deref(), Some("192.0.2.7"));
}

#[tokio::test]
async fn what_is_told_is_told_to_listeners_and_shown_on_the_page() {
    let rig = Rig::living(settings(), rack(vec![(host(1), armed(1)), (host(2), HostFacts::default())])).await;
    let hex = mac(3).hex();
    let token = token_in(&get(&rig, HV1, &format!("/boot/{hex}/mac-{hex}.preseed")).await.text());
    assert_eq!(tell(&rig, HV1, &token, report("install-complete")).await.code, 200);
    let moves = rig.world.borrow().moves.clone();
    let subjects: Vec<_> =
        moves.recent.iter().map(|change| format!("{} {}", change.subject, change.change.words().1)).collect();
    assert!(subjects.contains(&"cluster1/hv1 installed".to_owned()), "{subjects:?}");
    let installed = rig.get("/api/v1/hosts?state=installed").await.json();
    assert_eq!(installed.as_array().map(Vec::len), Some(1), "{installed}");
    assert_eq!(installed[0]["boot"]["address"], HV1.to_string());
    assert_eq!(rig.get("/api/v1/clusters/cluster1").await.json()["hosts"]["installed"], 1);
    let page = rig.ask("GET", "/", &[("Accept", "text/html")], b"").await.text();
    let installed = HostState::Installed.as_str();
    assert!(page.contains("id=\"cluster1/hv1\"") && page.contains(&format!("<td>{installed}</td>")), "{page}");
    assert!(page.contains(&format!("boots from {} at {HV1}", mac(3))), "{page}");

    // Its files leave the repository; the disk's story stays.
    let mut world = World::clone(&rig.world.borrow());
    world.desired = Some(Arc::new(Desired::new(Some(Revision::new("feed")), [], [], Vec::new())));
    rig.world.send_replace(Arc::new(world));
    let left = rig.get("/api/v1/hosts").await.json();
    assert_eq!((&left[0]["host"], &left[0]["condition"]["reason"]), (&json!("hv1"), &json!("Removed")));
    assert_eq!(get(&rig, HV1, &format!("/boot/{hex}/boot.ipxe")).await.text(), LocalBoot::Auto.script());
}
