//! The boot chain as people are shown it: in the API, on the page, and by `rackwright explain`.

use std::process::Command;
use std::sync::Arc;

use rackwright::model::status::HostStatus;
use rackwright::model::{Desired, Mac, Time};
use rackwright::serve::api::chain::Traced;
use rackwright::serve::dhcp::wire::Kind;
use rackwright::serve::trace::{BootFile, Client, DhcpAsked, DhcpOutcome, Exchange, Grant, TftpAsked, TftpOutcome};

use crate::rig::git::Rig as Repository;
use crate::rig::http::{NOW, Rig, settings};
use crate::rig::net::{armed, cluster, host, mac, world};
use crate::rig::schema;

/// A server whose World has one armed host, whose firmware got an address three minutes ago and asked for nothing since.
async fn stuck() -> (Rig, Mac) {
    let mut world = world(vec![(host(1), armed(1))]);
    world.adopted = true;
    world.desired = Some(Arc::new(Desired::new(None, [cluster()], [host(1)], Vec::new())));
    let rig = Rig::with(settings(), world).await;
    let (boot, at) = (mac(3), |seconds: i64| Time(NOW.0 - 180_000 + seconds * 1000));
    let exchange = |kind, address, outcome| {
        let client = Client::Firmware { arch: Some(7), http: false };
        Exchange::Dhcp { asked: DhcpAsked { kind, client, address, relay: None }, outcome }
    };
    let server = [10, 255, 255, 1].into();
    let grant = Grant {
        address: Some([10, 255, 255, 100].into()),
        boot: Some(BootFile::Tftp { name: "ipxe.efi".into(), server }),
    };
    for n in 0..3 {
        rig.ctx.trace.note(boot, at(n * 4), exchange(Kind::Discover, None, DhcpOutcome::Offer(grant.clone())));
    }
    rig.ctx.trace.note(boot, at(9), exchange(Kind::Request, grant.address, DhcpOutcome::Ack(grant)));
    (rig, boot)
}

#[tokio::test]
async fn the_api_and_the_page_show_where_a_boot_stands() {
    let (rig, _) = stuck().await;
    let answer = rig.get("/api/v1/hosts/cluster1/hv1").await.json();
    let chain = &answer["boot_chain"];
    let sentence = chain["standing"]["sentence"].as_str().unwrap();
    assert_eq!(chain["standing"]["stuck"], true);
    assert!(sentence.contains("offered ipxe.efi at 07:57:09 and has asked for nothing"), "{sentence}");
    assert_eq!(
        (chain["attempts"][0]["number"].as_u64(), chain["attempts"][0]["steps"][0]["count"].as_u64()),
        (Some(1), Some(3))
    );
    assert_eq!(chain["attempts"][0]["steps"][0]["last"], "2027-01-15T07:57:08.000Z");
    // what is answered is what the document says, and the fields of the status file are all still there
    let traced: Traced = serde_json::from_value(answer.clone()).unwrap();
    let plain: HostStatus = serde_json::from_value(rig.get("/api/v1/hosts").await.json()[0].clone()).unwrap();
    assert_eq!(traced.status, plain);
    schema::check("/api/v1/hosts/{cluster}/{host}", &answer);
    let page = rig.ask("GET", "/", &[("Accept", "text/html")], b"").await.text();
    assert!(page.contains("Network boot: stuck after the DHCP reply"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_prints_the_last_attempt_of_a_running_daemon() {
    let (rig, boot) = stuck().await;
    let url = format!("http://{}", rig.address);
    let explain = || async {
        let (url, mut command) = (url.clone(), Command::new(env!("CARGO_BIN_EXE_rackwright")));
        command.args(["explain", "hv1", "--url", &url]).env_remove("RUST_LOG");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = explain().await;
    for line in [
        "Network boot: stuck after the DHCP reply: it was offered ipxe.efi at 07:57:09 and has asked for nothing, and nothing \
         since (2 min). Likely: the TFTP port is blocked, or the firmware wants HTTP.",
        "Attempt 1, begun at 2027-01-15T07:57:00Z:",
        "+0.0s   DHCP      discover (UEFI x64 PXE) ×3 over 8.0s    offer 10.255.255.100, ipxe.efi from 10.255.255.1",
        "+9.0s   DHCP      request 10.255.255.100 (UEFI x64 PXE)   ack 10.255.255.100, ipxe.efi from 10.255.255.1",
    ] {
        assert!(said.contains(line), "`{line}` is not in:\n{said}");
    }
    let asked = TftpAsked { name: "ipxe.efi".into(), options: "tsize=0".into(), write: false };
    let outcome = TftpOutcome::Aborted { code: 8, message: "User aborted".into() };
    rig.ctx.trace.note(boot, NOW, Exchange::Tftp { asked, outcome });
    assert!(explain().await.contains("Network boot: under way: after it asked for ipxe.efi"));
}

#[test]
fn explain_says_who_knows_where_there_is_no_daemon() {
    let rig = Repository::pushed();
    let host = "cluster: c1\nhost: hv1\nstate: pxe-booting\nsince: 2020-01-01T00:00:00Z\n\
                condition: { status: Reconciling, reason: NetworkBoot, message: armed }\n\
                generation: { wanted: 1 }\nboot: { mac: 'aa:bb:cc:dd:ee:11' }\ndrift: false\n";
    crate::rig::git::git(&rig.work, &["checkout", "--quiet", "--orphan", "rackwright/status"]);
    rig.commit("hosts/c1/hv1.yaml", host, "status");
    let mut command = Command::new(env!("CARGO_BIN_EXE_rackwright"));
    let output = command.current_dir(&rig.work).args(["explain", "hv1"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("known to the running daemon only; ask it with `rackwright explain c1/hv1 --url"), "{said}");
}
