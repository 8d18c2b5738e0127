//! Services recorded from real machines, served as they are: characterized with nothing but GETs.
//!
//! The recordings (mock-ups of NVIDIA's libredfish, MIT) are no part of this project: `RACKWRIGHT_REDFISH_TREES` names the
//! directory that holds `dell.tar.xz`, `hpe.tar.xz` and `supermicro.tar.xz`. Where there is none, nothing is tested here.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rackwright::model::{Drive, Inventory, Mac};
use rackwright::sim::bmc::{Request, Response};
use rackwright::sim::https::{self, Identity};

use crate::rig::bmc::{self, target};

/// Where the recordings are.
pub fn recordings() -> Option<PathBuf> {
    let named = std::env::var_os("RACKWRIGHT_REDFISH_TREES").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/redfish");
    let found = named.or(Some(beside)).filter(|dir| dir.join("dell.tar.xz").is_file());
    if found.is_none() {
        println!("SKIPPED no recorded Redfish trees (RACKWRIGHT_REDFISH_TREES names their directory)");
    }
    found
}

/// What a recorded service was asked.
type Asked = Arc<Mutex<Vec<String>>>;

/// A recorded service answers what it was asked when it was recorded, opens a session for whoever asks, and nothing else.
pub fn answer(tree: &Path, request: &Request) -> Response {
    let none = |status| Response { status, headers: Vec::new(), body: None };
    match (request.method.as_str(), request.path.trim_matches('/')) {
        ("POST", "redfish/v1/SessionService/Sessions") => {
            let headers = vec![("X-Auth-Token", "t".to_owned()), ("Location", format!("{}/1", request.path))];
            Response { headers, ..none(201) }
        }
        ("DELETE", "redfish/v1/SessionService/Sessions/1") => none(204),
        ("GET", path) if !path.split('/').any(|part| part == "..") => {
            match std::fs::read(tree.join(path).join("index.json")) {
                Ok(bytes) => Response { body: serde_json::from_slice(&bytes).ok(), ..none(200) },
                Err(_) => none(404),
            }
        }
        _ => none(405),
    }
}

/// The inventory of a recorded service, and how many requests it took.
async fn inventory(vendor: &str) -> Option<(Inventory, usize)> {
    let archive = recordings()?.join(format!("{vendor}.tar.xz"));
    let dir = tempfile::tempdir().unwrap();
    let unpacked = Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(dir.path()).status().unwrap();
    assert!(unpacked.success());
    let (tree, asked) = (dir.path().join(vendor), Asked::default());
    let identity = Identity::generate("bmc").unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let log = asked.clone();
    let (_stop, serving) = https::serve(socket, &identity, move |request: Request| {
        log.lock().unwrap().push(format!("{} {}", request.method, request.path));
        let response = answer(&tree, &request);
        async move { (Duration::ZERO, Some(response)) }
    })
    .unwrap();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move { serving.await.unwrap() });

    let (inventory, _) = bmc::probe(&target(port), None).await.unwrap();
    let asked = asked.lock().unwrap().clone();
    let changes: Vec<_> = asked.iter().filter(|request| !request.starts_with("GET ")).collect();
    let session = "/redfish/v1/SessionService/Sessions";
    assert_eq!(changes, [&format!("POST {session}"), &format!("DELETE {session}/1")], "a look changes nothing");
    let once: std::collections::BTreeSet<_> = asked.iter().collect();
    assert_eq!(once.len(), asked.len(), "nothing is asked twice");
    assert!(!inventory.incomplete, "{vendor}");
    println!("{vendor}: {} requests", asked.len());
    Some((inventory, asked.len()))
}

fn mac(text: &str) -> Option<Mac> {
    Some(text.parse().unwrap())
}

/// Drives by slot; every one with all that a person or an installer needs to tell it from the others.
fn by_slot(inventory: &Inventory) -> BTreeMap<&str, &Drive> {
    let complete = |drive: &&Drive| {
        drive.model.is_some() && drive.serial.is_some() && drive.bytes.is_some() && drive.controller.is_some()
    };
    let complete: Vec<_> = inventory.drives.iter().filter(complete).collect();
    assert_eq!(complete.len(), inventory.drives.len(), "{:?}", inventory.drives);
    let by_slot: BTreeMap<_, _> = complete.iter().map(|drive| (drive.slot.as_deref().unwrap(), *drive)).collect();
    assert_eq!(by_slot.len(), inventory.drives.len(), "no two drives in one slot");
    by_slot
}

#[tokio::test]
async fn a_dell_poweredge_is_characterized() {
    let Some((inventory, requests)) = inventory("dell").await else { return };
    assert_eq!(inventory.boot_mac, mac("70:b5:e8:f0:52:dc"), "NIC.Embedded.1-1-1");
    assert_eq!(inventory.nics.len(), 5);
    assert_eq!(inventory.sku.as_deref(), Some("F54P1G3"));
    assert_eq!(inventory.bmc_mac, mac("b0:7b:25:d6:51:82"));
    assert_eq!(
        (inventory.bios_version.as_deref(), inventory.bmc_version.as_deref()),
        (Some("1.8.2"), Some("6.00.30.00"))
    );
    let hardware = "2 x Intel(R) Xeon(R) Gold 6354 CPU @ 3.00GHz (36 cores), 512 GiB, 3 drives (5.8 TB), 5 NICs";
    assert_eq!(inventory.hardware().as_deref(), Some(hardware));
    let drives = by_slot(&inventory);
    assert_eq!(drives.keys().copied().collect::<Vec<_>>(), ["0", "1", "2"]);
    assert_eq!(drives["0"].serial.as_deref(), Some("61X0A002TCD8"));
    assert_eq!(drives["2"].serial.as_deref(), Some("61P0A06CTCD8"));
    assert_eq!(drives["0"].bytes, Some(1_920_383_410_176));
    assert_eq!(drives["0"].model.as_deref(), Some("Dell Ent NVMe CM6 RI 1.92TB"));
    assert_eq!(inventory.volumes, [], "an iDRAC shows drives without RAID as volumes, which they are not");
    assert!(requests <= 40, "{requests}");
}

#[tokio::test]
async fn an_hpe_proliant_is_characterized() {
    let Some((inventory, requests)) = inventory("hpe").await else { return };
    // The first port of the card in the OCP slot: the one of which its BIOS says `Slot10NicBoot1: NetworkBoot`, and not
    // the SmartNIC in slot 5 that leads its boot order.
    assert_eq!(inventory.boot_mac, mac("50:7c:6f:11:f2:a6"));
    let nic = inventory.nic(inventory.boot_mac.unwrap()).unwrap();
    assert_eq!(nic.about.as_deref(), Some("OCP.Slot.10.1, Intel Eth Adptr I350T4 OCPv3"));
    assert_eq!((inventory.nics.len(), inventory.health.as_deref()), (7, Some("Critical")));
    let cpus = inventory.cpus.clone().unwrap();
    assert_eq!((cpus.count, cpus.cores), (Some(2), Some(128)), "from the processors: the summary counts no cores");
    assert_eq!((cpus.model.as_deref(), inventory.memory_gib), (Some("AMD EPYC 7763 64-Core Processor"), Some(1024)));
    let drives = by_slot(&inventory);
    assert_eq!(drives.len(), 18, "sixteen NVMe drives, and two on the array controller");
    assert_eq!(drives["2:1"].serial.as_deref(), Some("S6C1NA0TA01511"));
    assert_eq!(drives["1:8"].serial.as_deref(), Some("S6C1NA0TA04203"));
    assert_eq!(drives["1:8"].protocol.as_deref(), Some("NVMe"));
    assert_eq!(drives["1:8"].bytes, Some(6_401_252_745_216));
    assert!(requests <= 70, "{requests}");
}

#[tokio::test]
async fn a_supermicro_gpu_server_is_characterized() {
    let Some((inventory, requests)) = inventory("supermicro").await else { return };
    // Eleven NICs on add-in cards, none with a link, none marked as the machine's own: the one that asks it will be.
    assert_eq!(inventory.boot_mac, None);
    assert_eq!(inventory.nics.len(), 11, "without the one that leads to the BMC");
    let own = inventory.nic("7c:c2:55:79:3f:8e".parse().unwrap()).unwrap();
    assert_eq!(own.about.as_deref(), Some("AOC-STGS-i2T #1"));
    let hardware = "2 x Intel(R) Xeon(R) Platinum 8462Y+ (64 cores), 2048 GiB, 8 drives (61.5 TB), 11 NICs";
    assert_eq!(inventory.hardware().as_deref(), Some(hardware));
    let drives = by_slot(&inventory);
    assert_eq!(drives.keys().copied().collect::<Vec<_>>(), ["0", "1", "2", "3", "4", "5", "6", "7"]);
    assert_eq!(drives["6"].serial.as_deref(), Some("S6CKNN0W501980"));
    assert_eq!(drives["6"].model.as_deref(), Some("MZQL27T6HBLA-00A07"));
    assert!(requests <= 50, "{requests}");
}
