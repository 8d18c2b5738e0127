//! Check-ins and lease notices over HTTP: what the nodes' shell scripts really send, and worse.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rackwright::model::desired::ClaimBy;
use rackwright::model::{
    BmcSpec, CheckIn, CheckInAction, ClusterName, Desired, Digest, Event, Generation, HostId, HostSpec, Lease,
    LeaseOrigin, Lifecycle, LocalBoot, Mac, Policy, Protocol, Secret, Time, Token, World,
};
use rackwright::plan::boot::Decision;
use rackwright::serve::http::checkin::{Parsed, may_claim, parse_checkin};
use rackwright::serve::http::dnsmasq::parse_notice;
use rackwright::settings::DhcpMode;

use crate::rig::http::{NOW, Rig, settings};

const TOKEN: &str = "00112233445566778899aabbccddeeff";
const FULL: &str = r#"{"action":"install-start","hostname":"hv1.example.net","host_macaddr":"52:54:00:AA:BB:11",
    "host_ipaddr":"192.0.2.11","bmc_macaddr":"52:54:00:AA:BB:01","bmc_ipaddr":"192.0.2.1"}"#;

fn mac(text: &str) -> Mac {
    text.parse().unwrap()
}

fn full(token: Option<&str>) -> CheckIn {
    CheckIn {
        token: token.map(|text| Token::parse(text).unwrap().id()),
        action: CheckInAction::InstallStart,
        hostname: Some("hv1.example.net".into()),
        host_mac: Some(mac("52:54:00:aa:bb:11")),
        host_ip: Some(IpAddr::from([192, 0, 2, 11])),
        bmc_mac: Some(mac("52:54:00:aa:bb:01")),
        bmc_ip: Some(IpAddr::from([192, 0, 2, 1])),
        ssh_host_key: None,
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

#[tokio::test]
async fn a_check_in_becomes_one_event_whatever_its_content_type() {
    let rig = Rig::start().await;
    let headers: [&[(&str, &str)]; 5] = [
        &[("Content-Type", "application/json")],
        &[],
        &[("ContentType", "application/json")],
        &[("Content-Type", "application/x-www-form-urlencoded")],
        &[("Content-Type", "text/plain; charset=no-such-charset")],
    ];
    for headers in headers {
        let reply = rig.ask("POST", "/checkin/host", headers, FULL.as_bytes()).await;
        assert_eq!(reply.code, 200, "{reply:?}");
        assert_eq!(reply.json(), serde_json::json!({ "message": "received checkin from Host" }));
    }
    assert_eq!(rig.events(), vec![Event::CheckedIn(full(None)); 5]);
}

#[tokio::test]
async fn the_path_carries_the_token_and_facts_only_its_name() {
    let rig = Rig::start().await;
    assert_eq!(rig.post(&format!("/checkin/host/{TOKEN}"), FULL.as_bytes()).await.code, 200);
    assert_eq!(rig.post(&format!("/checkin/host/{}", TOKEN.to_uppercase()), FULL.as_bytes()).await.code, 200);
    assert_eq!(rig.post("/checkin/host/", FULL.as_bytes()).await.code, 200);
    let expected = [Some(TOKEN), Some(TOKEN), None].map(|token| Event::CheckedIn(full(token)));
    assert_eq!(rig.events(), expected);
    assert!(!format!("{:?}", rig.events()).contains(TOKEN));
}

#[tokio::test]
async fn a_path_that_is_no_token_is_refused_and_tells_nobody() {
    let rig = Rig::start().await;
    for token in ["x", "RACKWRIGHT-TOKEN", &TOKEN[1..], "%00", "%ff", "zz112233445566778899aabbccddeeff"] {
        let reply = rig.post(&format!("/checkin/host/{token}"), FULL.as_bytes()).await;
        assert_eq!(reply.code, 409, "{token}: {reply:?}");
        assert!(reply.message().starts_with("wrong token"));
    }
    assert_eq!(rig.events(), []);
}

#[tokio::test]
async fn a_refusal_comes_back_as_conflict_with_its_reason() {
    let rig = Rig::start().await;
    rig.refuse("this token was replaced by a newer claim");
    let reply = rig.post(&format!("/checkin/host/{TOKEN}"), FULL.as_bytes()).await;
    assert_eq!((reply.code, reply.message().as_str()), (409, "this token was replaced by a newer claim"));
}

#[tokio::test]
async fn bad_input_is_told_so_in_json() {
    let rig = Rig::start().await;
    let cases: [(&[u8], &str); 13] = [
        (b"", "not JSON"),
        (b"{\"action\":", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{}", "`action` is missing"),
        (br#"{"action":""}"#, "`action` is missing"),
        (br#"{"action":7}"#, "`action` is not a string"),
        (br#"{"action":"install-over"}"#, "is not known"),
        (br#"{"action":"install-start","host_macaddr":"52:54:00"}"#, "`host_macaddr` \"52:54:00\" is not a MAC"),
        (br#"{"action":"install-start","bmc_macaddr":"\u001b[31m"}"#, "is not a MAC address"),
        (br#"{"action":"install-start","host_macaddr":"01:00:5e:00:00:01"}"#, "group address"),
        (br#"{"action":"install-start","host_ipaddr":"192.0.2.300"}"#, "is not an IP address"),
        (br#"{"action":"install-start","hostname":"a\u0000b"}"#, "is not a host name"),
    ];
    for (body, complaint) in cases {
        let reply = rig.post("/checkin/host", body).await;
        let text = String::from_utf8_lossy(body);
        assert_eq!(reply.code, 400, "{text}");
        assert!(reply.message().contains(complaint), "{text}: {}", reply.message());
        assert!(!reply.message().chars().any(char::is_control), "{text}");
    }
    assert_eq!(rig.post("/checkin/host", &vec![b' '; 200 << 10]).await.code, 413);
    assert_eq!(rig.ask("PUT", "/checkin/host", &[], b"").await.code, 405);
    assert_eq!(rig.events(), []);
}

#[tokio::test]
async fn people_get_a_message_from_the_checkin_pages() {
    let rig = Rig::start().await;
    for path in ["/checkin", "/checkin/host", "/checkin/dnsmasq"] {
        assert_eq!(rig.get(path).await.message(), "rackwright API Checkin interface");
    }
}

#[test]
fn empty_null_and_placeholder_fields_are_absent() {
    let source = IpAddr::from([192, 0, 2, 9]);
    let body = br#"{"action":" System-Boot_Initial ","hostname":"","host_macaddr":null,"host_ipaddr":"192.0.2.9/24",
        "bmc_macaddr":"00:00:00:00:00:00","bmc_ipaddr":"0.0.0.0","extra":{"a":[1]}}"#;
    let expected = CheckIn {
        token: None,
        action: CheckInAction::BootInitial,
        hostname: None,
        host_mac: None,
        host_ip: Some(source),
        bmc_mac: None,
        bmc_ip: None,
        ssh_host_key: None,
        source,
    };
    assert_eq!(parse_checkin(body, Some(""), source), Ok(Parsed::Report(expected.clone())));
    let bom = [b"\xef\xbb\xbf".as_slice(), body, b"\r\n\0"].concat();
    assert_eq!(parse_checkin(&bom, None, source), Ok(Parsed::Report(expected)));
}

#[test]
fn octets_that_are_not_utf8_do_not_lose_a_report() {
    let body = b"{\"action\":\"install-complete\",\"hostname\":\"hv\xe4\",\"bmc_macaddr\":\"ff:ff:ff:ff:ff:ff\"}";
    let Ok(Parsed::Report(report)) = parse_checkin(body, None, IpAddr::from([192, 0, 2, 9])) else { panic!() };
    assert_eq!((report.hostname.as_deref(), report.bmc_mac), (Some("hv\u{fffd}"), None));
}

proptest! {
    #[test]
    fn no_body_and_no_token_makes_the_parsers_panic(
        body in proptest::collection::vec(any::<u8>(), 0..300), token in proptest::option::of(".{0,40}"),
    ) {
        let source = IpAddr::from([192, 0, 2, 9]);
        let _ = parse_checkin(&body, token.as_deref(), source);
        let _ = parse_notice(&body, NOW);
    }

    #[test]
    fn any_field_values_are_read_or_refused_never_more(
        fields in proptest::collection::hash_map(
            prop_oneof![Just("action"), Just("hostname"), Just("host_macaddr"), Just("bmc_macaddr"),
                Just("host_ipaddr"), Just("bmc_ipaddr"), Just("ipaddr"), Just("macaddr"), Just("expiry")],
            prop_oneof![".{0,20}", Just("install-start".to_owned()), Just("claim".to_owned()), Just("add".to_owned()),
                "[0-9a-fA-F]{12}", "[0-9]{1,30}", "192\\.0\\.2\\.[0-9]{1,3}"], 0..9),
    ) {
        let body = serde_json::to_vec(&fields).unwrap();
        if let Ok(Parsed::Report(report)) = parse_checkin(&body, None, IpAddr::from([192, 0, 2, 9])) {
            prop_assert!(report.host_mac.is_none_or(|mac| !mac.is_zero() && !mac.is_multicast()));
            prop_assert!(report.bmc_mac.is_none_or(|mac| !mac.is_zero() && !mac.is_multicast()));
            prop_assert!(report.hostname.is_none_or(|name| !name.is_empty()));
        }
        if let Ok(Some(Event::Leased { until, .. })) = parse_notice(&body, NOW) {
            prop_assert!(until > NOW && until <= NOW + Duration::from_secs(366 * 86400));
        }
    }

    #[test]
    fn a_mac_is_the_same_in_every_notation(octets in any::<[u8; 6]>()) {
        let mac = Mac([octets[0] & 0xfe | 2, octets[1], octets[2], octets[3], octets[4], octets[5]]);
        for written in [mac.to_string(), mac.to_string().to_uppercase(), mac.hex(), mac.to_string().replace(':', "-")] {
            let body = serde_json::json!({ "action": "install-complete", "host_macaddr": written }).to_string();
            let Ok(Parsed::Report(report)) = parse_checkin(body.as_bytes(), None, IpAddr::from([192, 0, 2, 9])) else {
                panic!("{body}")
            };
            prop_assert_eq!(report.host_mac, Some(mac));
        }
    }
}

fn claiming(claim: ClaimBy) -> (World, HostId, Mac) {
    let (id, boot) = (HostId::new(&ClusterName::new("cluster1"), "hv1"), mac("52:54:00:aa:bb:11"));
    let spec = HostSpec {
        id: id.clone(),
        bmc_mac: boot,
        fqdn: "hv1.example.net".into(),
        generation: Generation(1),
        state: Lifecycle::Present,
        boot_mac: Some(boot),
        address: None,
        installer: Arc::from("demo"),
        claim,
        spec: Digest::new("d"),
        files: Vec::new(),
        images: Arc::from([]),
        local_boot: LocalBoot::Auto,
        disks: Vec::new(),
        bmc: BmcSpec::new(Protocol::None, "", Secret::new("")),
        prepare: Arc::default(),
        blocked: Vec::new(),
        origin: (Arc::from("group_vars/cluster1/bootstrap.yml"), 1),
    };
    let mut policy = Policy::default();
    policy.site.leases_are_ours = true;
    let mut world = World::new(Arc::new(policy));
    world.desired = Some(Arc::new(Desired::new(None, [], [spec], Vec::new())));
    let ip = Ipv4Addr::new(192, 0, 2, 11);
    let lease = Lease { ip, mac: Some(boot), until: NOW, by: LeaseOrigin::Own };
    Arc::make_mut(&mut world.leases).insert(lease);
    (world, id, boot)
}

#[test]
fn a_claim_needs_consent_the_right_installer_and_the_leased_address() {
    let (world, host, boot) = claiming(ClaimBy::CheckIn);
    let install = || Decision::Install { host: host.clone() };
    let (leased, other) = (IpAddr::from([192, 0, 2, 11]), IpAddr::from([192, 0, 2, 12]));
    assert_eq!(may_claim(&world, install(), boot, leased), Ok(()));
    assert!(may_claim(&world, install(), boot, other).unwrap_err().contains("not the address leased"));
    let local = Decision::Local { host: None, how: LocalBoot::Auto, why: "unknown machine" };
    assert_eq!(may_claim(&world, local, boot, leased), Err("not to be installed: unknown machine".into()));
    let (mut answer_file, ..) = claiming(ClaimBy::AnswerFile);
    assert!(may_claim(&answer_file, install(), boot, leased).unwrap_err().contains("answer file"));
    answer_file = world.clone();
    answer_file.leases = Arc::default();
    assert!(may_claim(&answer_file, install(), boot, leased).is_err(), "no lease of ours, no claim");
    Arc::make_mut(&mut answer_file.policy).site.leases_are_ours = false;
    assert_eq!(may_claim(&answer_file, install(), boot, leased), Ok(()), "somebody else leases");
}

#[tokio::test]
async fn a_machine_that_is_not_to_be_installed_gets_no_token() {
    let rig = Rig::start().await;
    let reply = rig.post("/checkin/host", br#"{"action":"claim","host_macaddr":"52:54:00:aa:bb:99"}"#).await;
    assert_eq!(reply.code, 409);
    assert!(reply.json().get("token").is_none());
    assert_eq!(rig.post("/checkin/host", br#"{"action":"claim"}"#).await.code, 400);
    assert_eq!(rig.events(), []);
}

fn notice(action: &str, expiry: &str) -> String {
    format!(
        r#"{{"action":"{action}","macaddr":"52:54:00:AA:BB:01","ipaddr":"192.0.2.1","hostname":null,"client_id":null,
        "expiry":{expiry},"vendor_class":null,"user_class":null}}"#
    )
}

#[test]
fn a_lease_notice_lasts_as_long_as_it_says_within_reason() {
    let until = |expiry: &str| match parse_notice(notice("add", expiry).as_bytes(), NOW) {
        Ok(Some(Event::Leased { until, by: LeaseOrigin::Dnsmasq, .. })) => until,
        other => panic!("{expiry}: {other:?}"),
    };
    let (hour, year) = (NOW + Duration::from_secs(3600), NOW + Duration::from_secs(366 * 86400));
    assert_eq!(until("1800000100"), Time::from_secs(1_800_000_100));
    assert_eq!(until("\"1800000100\""), Time::from_secs(1_800_000_100));
    assert_eq!([until("null"), until("\"\""), until("1"), until("-5")], [hour; 4]);
    assert_eq!([until("0"), until("\"9223372036854775807\"")], [year; 2]);
    for bad in ["\"soon\"", "1.5", "[]"] {
        assert!(parse_notice(notice("add", bad).as_bytes(), NOW).unwrap_err().contains("`expiry`"));
    }
}

#[tokio::test]
async fn lease_notices_count_only_where_somebody_else_leases() {
    let rig = Rig::start().await;
    let reply = rig.post("/checkin/dnsmasq", notice("add", "null").as_bytes()).await;
    assert_eq!(reply.code, 409);
    assert!(reply.message().contains("network.dhcp.mode"));
    assert_eq!(rig.post("/checkin/dnsmasq", br#"{"action":"tftp","size":1,"destaddr":"192.0.2.1"}"#).await.code, 200);
    assert_eq!(rig.events(), []);

    let mut other = settings();
    other.network.dhcp_mode = DhcpMode::Proxy;
    let rig = Rig::with(other, World::new(Arc::new(Policy::default()))).await;
    for action in ["add", "old", "del", "tftp"] {
        let reply = rig.ask("POST", "/checkin/dnsmasq", &[], notice(action, "null").as_bytes()).await;
        assert_eq!((reply.code, reply.message().as_str()), (200, "received checkin from DNSMasq"), "{action}");
    }
    let (mac, ip) = (mac("52:54:00:aa:bb:01"), Ipv4Addr::new(192, 0, 2, 1));
    let until = NOW + Duration::from_secs(3600);
    let leased = Event::Leased { mac, ip, until, by: LeaseOrigin::Dnsmasq };
    assert_eq!(rig.events(), [leased.clone(), leased, Event::Released { mac, ip }]);
    for bad in [r#"{"action":"add"}"#, r#"{"action":"sing"}"#, r#"{"action":"add","ipaddr":"192.0.2.1","macaddr":"x"}"#]
    {
        assert_eq!(rig.post("/checkin/dnsmasq", bad.as_bytes()).await.code, 400, "{bad}");
    }
    let v6 = r#"{"action":"add","ipaddr":"2001:db8::1","macaddr":"52:54:00:aa:bb:01"}"#;
    assert_eq!(rig.post("/checkin/dnsmasq", v6.as_bytes()).await.code, 200);
    assert_eq!(rig.events().len(), 3);
}
