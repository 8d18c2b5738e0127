//! What a preparation would find on machines that were recorded (see `bmc_trees`): looked at, never written.

use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rackwright::drive::bmc::Order;
use rackwright::model::{DiskChoice, Fault, Outcome, Preparation, Prepare, Reason, Stage};
use rackwright::sim::bmc::Request;
use rackwright::sim::https::{self, Identity};

use crate::bmc::trees::{answer, recordings};
use crate::rig::bmc::once;
use crate::rig::bmc::target;
use crate::rig::bmc_prepare::{disk, secrets};

/// What looks at a recorded service come to.
async fn looks(vendor: &str, wanted: &[Prepare]) -> Option<Vec<Result<Preparation, Fault>>> {
    let archive = recordings()?.join(format!("{vendor}.tar.xz"));
    let dir = tempfile::tempdir().unwrap();
    let unpacked = Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(dir.path()).status().unwrap();
    assert!(unpacked.success());
    let (tree, written) = (dir.path().join(vendor), Arc::new(Mutex::new(Vec::new())));
    let identity = Identity::generate("bmc").unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let log = written.clone();
    let (_stop, serving) = https::serve(socket, &identity, move |request: Request| {
        if request.method != "GET" && !request.path.contains("/SessionService/") {
            log.lock().unwrap().push(format!("{} {}", request.method, request.path));
        }
        let response = answer(&tree, &request);
        async move { (Duration::ZERO, Some(response)) }
    })
    .unwrap();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move { serving.await.unwrap() });
    let mut found = Vec::new();
    for prepare in wanted {
        let order = Order::Prepare { prepare: Arc::new(prepare.clone()), apply: false, pending: None };
        found.push(once(&target(port), &order).await.map(|outcome| match outcome {
            Outcome::Prepared(preparation) => preparation,
            other => panic!("{other:?}"),
        }));
    }
    assert!(written.lock().unwrap().is_empty(), "{:?}", written.lock().unwrap());
    Some(found)
}

fn slot(slot: &str) -> Prepare {
    disk(DiskChoice::Slot(slot.into()), false)
}

fn mirror(slots: [&str; 2]) -> Prepare {
    disk(DiskChoice::Mirror(slots.map(String::from)), false)
}

fn bios(pairs: &[(&str, &str)]) -> Prepare {
    Prepare::new(DiskChoice::Named, false, secrets(pairs), secrets(&[]))
}

fn named(found: &Result<Preparation, Fault>) -> Option<&str> {
    found.as_ref().unwrap_or_else(|fault| panic!("{fault}")).disk.as_deref()
}

/// Right already: nothing waits, nothing is noted.
fn right(found: &Result<Preparation, Fault>) -> bool {
    let found = found.as_ref().unwrap_or_else(|fault| panic!("{fault}"));
    assert!(found.notes.is_empty(), "{:?}", found.notes);
    found.pending.is_none()
}

fn next(found: &Result<Preparation, Fault>) -> bool {
    let found = found.as_ref().unwrap_or_else(|fault| panic!("{fault}"));
    found.pending.as_ref().is_some_and(|pending| pending.stage == Stage::Next)
}

#[tokio::test]
async fn a_dell_poweredge() {
    let manager =
        |value: &str| Prepare::new(DiskChoice::Named, false, secrets(&[]), secrets(&[("CurrentNIC.1.MTU", value)]));
    let wanted = [
        slot("0"),
        slot("2"),
        mirror(["0", "1"]),
        bios(&[("AesNi", "Enabled"), ("AcPwrRcvryUserDelay", "120"), ("AssetTag", "")]),
        bios(&[("AcPwrRcvryUserDelay", "60")]),
        manager("1500"),
        manager("9000"),
    ];
    let Some(found) = looks("dell", &wanted).await else { return };
    assert_eq!((named(&found[0]), named(&found[1])), (Some("detect:CM6:1.92TB:0"), Some("detect:CM6:1.92TB:2")));
    assert!(next(&found[2]), "its drives stand alone, and its BMC makes volumes: {:?}", found[2]);
    assert!(right(&found[3]) && next(&found[4]));
    assert!(right(&found[5]) && next(&found[6]));
}

#[tokio::test]
async fn an_hpe_proliant() {
    let wanted = [
        slot("2:7"),
        mirror(["3:1", "3:2"]),
        slot("3:1"),
        mirror(["2:1", "2:2"]),
        bios(&[("AcpiSlit", "Enabled")]),
        bios(&[("AcpiSlit", "Disabled"), ("AcpiSlitt", "Enabled")]),
    ];
    let Some(found) = looks("hpe", &wanted).await else { return };
    assert!(named(&found[0]).is_some_and(|text| text.contains(":6.40TB:")), "{:?}", found[0]);
    assert_eq!(named(&found[1]), Some("detect:LOGICAL:480GB:0"), "the RAID-1 that it has");
    assert_eq!(found[2].as_ref().unwrap_err().reason, Reason::ForeignVolume);
    assert_eq!(
        found[3].as_ref().unwrap_err().reason,
        Reason::RaidNotSupported,
        "each NVMe drive is its own controller"
    );
    assert!(right(&found[4]) && next(&found[5]));
    assert!(found[5].as_ref().unwrap().notes[0].contains("did you mean `AcpiSlit`?"));
}

#[tokio::test]
async fn a_supermicro() {
    let wanted =
        [slot("3"), mirror(["0", "1"]), bios(&[("AES_NI_3C75", "Enable")]), bios(&[("AES_NI_3C75", "Disable")])];
    let Some(found) = looks("supermicro", &wanted).await else { return };
    assert_eq!(named(&found[0]), Some("detect:MZQL27T6:7.68TB:3"));
    assert_eq!(found[1].as_ref().unwrap_err().reason, Reason::RaidNotSupported, "{:?}", found[1]);
    assert!(right(&found[2]) && next(&found[3]));
}
