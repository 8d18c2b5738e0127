//! The rack as a page.

use std::time::Duration;

use rackwright::model::status::{Condition, Endpoint};
use rackwright::model::{ActionKind, ConditionStatus, Finding, Inventory, Mac, Reason, Revision, Time};
use rackwright::serve::api::page;
use rackwright::serve::api::rack::{ForeignDhcp, Rack, Trouble};

use crate::http::status::status;
use crate::rig::http::{NOW, Rig};

fn condition(status: ConditionStatus, reason: Reason, message: &str, until: Option<Time>) -> Condition {
    Condition { status, reason, message: message.into(), until: until.map(Into::into) }
}

#[test]
fn no_text_of_the_page_is_markup() {
    let (cluster, host) = status();
    let evil = "<img src=x onerror=alert(1)>";
    let rack = Rack {
        revision: Some(Revision::new("<b>")),
        rejected: Some(rackwright::model::status::RejectedStatus {
            revision: Revision::new("0123456789abcdef"),
            since: NOW.into(),
            findings: vec![Finding::error(evil, (1, 1), "x", evil).hint(evil)],
        }),
        troubles: vec![Trouble {
            action: ActionKind::Fetch,
            reason: Reason::Unreachable,
            message: evil.into(),
            count: 1,
            at: NOW.into(),
        }],
        foreign_dhcp: Some(ForeignDhcp { server: [192, 0, 2, 66].into(), seen: NOW.into() }),
        clusters: vec![(cluster, vec![host])],
        ..Rack::default()
    };
    let html = page::render(&rack, NOW, "abc").unwrap();
    assert!(!html.contains("<img") && !html.contains("alert('x')") && !html.contains("<b>"), "{html}");
    assert_eq!(html.matches("<script").count(), 1);
    assert!(
        html.matches("&lt;script&gt;alert(&#x27;x&#x27;)&lt;&#x2f;script&gt; &amp; &quot;y&quot;").count() >= 10,
        "{html}"
    );
    for text in ["pxe-booting", "drift", "2027-01-15T08:00:00Z", "--first-run", "192.0.2.66", "prefers-color-scheme"] {
        assert!(html.contains(text), "{text}");
    }
    assert!(!html.contains("http://") && !html.contains("https://"), "nothing from elsewhere");
}

#[test]
fn the_page_begins_with_what_waits_for_a_person() {
    let (mut cluster, mut broken) = status();
    cluster.condition = condition(ConditionStatus::Reconciling, Reason::Peers, "two of three hosts are ready", None);
    let mut ready = broken.clone();
    (ready.host, ready.notes, ready.drift) = ("hv1".into(), Vec::new(), false);
    ready.condition = condition(ConditionStatus::Ready, Reason::Done, "all done", None);
    let mut busy = ready.clone();
    busy.host = "hv2".into();
    busy.condition = condition(
        ConditionStatus::Reconciling,
        Reason::Installing,
        "the installer works",
        Some(NOW + Duration::from_secs(1500)),
    );
    broken.host = "hv3".into();
    let message = "the BMC refuses the password of bootstrap.yml";
    broken.condition =
        condition(ConditionStatus::Stalled, Reason::AuthenticationFailed, message, Some(NOW + Duration::from_secs(40)));
    let mac = Some(Mac([2, 0, 0, 0, 0, 3]));
    broken.bmc = Some(Endpoint { mac, address: Some([192, 0, 2, 3].into()), ..Endpoint::default() });
    broken.inventory = Some(Inventory { serial: Some("ABC1234".into()), ..Inventory::default() });
    let rack = Rack { armed: true, clusters: vec![(cluster, vec![ready, busy, broken])], ..Rack::default() };
    let html = page::render(&rack, NOW, "abc").unwrap();
    let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text} in {html}"));
    let order = [
        "1 stalled",
        "1 reconciling",
        "1 ready",
        "Waiting for a person",
        "href=\"#cluster1/hv3\"",
        "Stalled: AuthenticationFailed",
        message,
        "next try <time datetime=\"2027-01-15T08:00:40Z\">in 40 s (2027-01-15T08:00:40Z)</time>",
        "serial ABC1234, BMC 02:00:00:00:00:03 at 192.0.2.3",
        "<h2>cluster1",
        "two of three hosts are ready",
        "id=\"cluster1/hv3\"",
        "id=\"cluster1/hv2\"",
        "in 25 min (2027-01-15T08:25:00Z)",
        "id=\"cluster1/hv1\"",
    ];
    let places = order.map(at);
    assert!(places.is_sorted(), "{places:?} {html}");
}

#[tokio::test]
async fn the_page_lets_only_its_own_script_run() {
    let rig = Rig::start().await;
    let page = rig.ask("GET", "/", &[("Accept", "text/html,application/json")], b"").await;
    assert_eq!((page.code, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert!(page.text().contains(&format!("<script nonce=\"{nonce}\">")));
    assert!(!policy.contains("script-src 'unsafe"));
    let json = rig.ask("GET", "/", &[("Accept", "application/json")], b"").await;
    assert_eq!(json.message(), "rackwright API");
}
