//! The simulated rack on real sockets, against small servers that answer by the book.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use rackwright::drive::bmc::{Endpoint, Timeouts};
use rackwright::model::{BootMode, Mac, PowerState, Protocol, Secret};
use rackwright::sim::bmc::BmcConfig;
use rackwright::sim::fault::FaultPlan;
use rackwright::sim::machine::{BootOrder, Disk, Firmware, MachineConfig, Stage, Timings};
use rackwright::sim::rack::{Rack, RackConfig, RackMachine};
use rackwright::sim::tree::Vendor;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use crate::rig::bmc;

const SERVER: Ipv4Addr = Ipv4Addr::new(127, 91, 0, 1);
const RELAY: Ipv4Addr = Ipv4Addr::new(127, 91, 0, 2);
const TOKEN: &str = "00112233445566778899aabbccddeeff";

/// Addresses by MAC, check-ins by sender, and the ports of the three servers.
#[derive(Default)]
struct Seen {
    leases: BTreeMap<[u8; 6], Ipv4Addr>,
    check_ins: Vec<(SocketAddr, String)>,
    news: Arc<tokio::sync::Notify>,
}

struct Servers {
    seen: Arc<Mutex<Seen>>,
    dhcp: SocketAddrV4,
    tftp_port: u16,
    _tasks: JoinSet<()>,
}

async fn servers() -> Servers {
    let (mut tasks, seen) = (JoinSet::new(), Arc::new(Mutex::new(Seen::default())));
    let dhcp = UdpSocket::bind((SERVER, 0)).await.unwrap();
    let tftp = UdpSocket::bind((SERVER, 0)).await.unwrap();
    let web = TcpListener::bind((SERVER, 0)).await.unwrap();
    let SocketAddr::V4(dhcp_at) = dhcp.local_addr().unwrap() else { unreachable!() };
    let (tftp_port, web_port) = (tftp.local_addr().unwrap().port(), web.local_addr().unwrap().port());
    tasks.spawn(serve_dhcp(dhcp, seen.clone(), web_port));
    tasks.spawn(serve_tftp(tftp, web_port));
    let heard = seen.clone();
    let service = Router::new().fallback(move |ConnectInfo(peer): ConnectInfo<SocketAddr>, uri: axum::http::Uri, body: String| {
        let heard = heard.clone();
        async move {
            if uri.path().starts_with("/checkin/") {
                assert_eq!(uri.path(), format!("/checkin/host/{TOKEN}"));
                heard.lock().unwrap().check_ins.push((peer, body));
                        heard.lock().unwrap().news.notify_one();
                return "{}".to_owned();
            }
            let installed = heard.lock().unwrap().check_ins.iter().any(|(who, what)| who.ip() == peer.ip() && what.contains("install-complete"));
            if installed {
                return "#!ipxe\nexit 1\n".to_owned();
            }
            "#!ipxe\nkernel http://x/vmlinuz pvcinstall.preseed=on pvcinstall.seed_host=${next-server} pvcinstall.seed_file=/host/mac-${mac:hexraw}.preseed\nboot\n".to_owned()
        }
    });
    tasks.spawn(async move {
        axum::serve(web, service.into_make_service_with_connect_info::<SocketAddr>()).await.unwrap();
    });
    Servers { seen, dhcp: dhcp_at, tftp_port, _tasks: tasks }
}

async fn serve_dhcp(socket: UdpSocket, seen: Arc<Mutex<Seen>>, web_port: u16) {
    let mut buffer = [0; 1500];
    loop {
        let (size, peer) = socket.recv_from(&mut buffer).await.unwrap();
        let request = &buffer[..size];
        assert_eq!((peer.ip(), &request[24..28]), (RELAY.into(), &RELAY.octets()[..]));
        let mac: [u8; 6] = request[28..34].try_into().unwrap();
        let ip = {
            let mut seen = seen.lock().unwrap();
            let next = 100 + seen.leases.len() as u8;
            *seen.leases.entry(mac).or_insert(Ipv4Addr::new(127, 91, 0, next))
        };
        let discover = request[240..].windows(3).any(|option| option == [53, 1, 1]);
        let kind = if discover { 2 } else { 5 };
        let ipxe = request.windows(6).any(|bytes| bytes == b"\x4d\x04iPXE");
        let mut answer = request[..240].to_vec();
        answer[0] = 2;
        answer[16..20].copy_from_slice(&ip.octets());
        answer[20..24].copy_from_slice(&SERVER.octets());
        let file = if ipxe { format!("http://{SERVER}:{web_port}/boot/x/boot.ipxe") } else { "ipxe.efi".to_owned() };
        answer.extend([53, 1, kind, 54, 4]);
        answer.extend(SERVER.octets());
        answer.extend([67, file.len() as u8]);
        answer.extend(file.bytes());
        answer.push(255);
        socket.send_to(&answer, peer).await.unwrap();
    }
}

async fn serve_tftp(socket: UdpSocket, web_port: u16) {
    let mut buffer = [0; 600];
    loop {
        let (size, peer) = socket.recv_from(&mut buffer).await.unwrap();
        if buffer[1] != 1 {
            continue; // the last ACK
        }
        let name = String::from_utf8_lossy(buffer[2..size].split(|b| *b == 0).next().unwrap()).into_owned();
        let body = match name.as_str() {
            name if name.ends_with(".preseed") => format!(
                "target_hostname=hv.example.net\ntarget_disk=/dev/sda\ntarget_keys_method=tftp\ntarget_keys_path=keys.txt\n\
                 pvcbootstrapd_checkin_uri='http://{SERVER}:{web_port}/checkin/host/{TOKEN}'\n"
            ),
            "ipxe.efi" | "keys.txt" => "bytes".to_owned(),
            _ => {
                socket.send_to(b"\0\x05\0\x01no such file\0", peer).await.unwrap();
                continue;
            }
        };
        socket.send_to(&[b"\0\x03\0\x01", body.as_bytes()].concat(), peer).await.unwrap();
    }
}

fn spec(index: u8, vendor: Option<Vendor>) -> RackMachine {
    let machine = MachineConfig {
        name: format!("hv{index}"),
        bmc_mac: vendor.map(|_| Mac([0x52, 0x54, 0, 0, 1, index])),
        boot_mac: Mac([0x52, 0x54, 0, 0, 2, index]),
        firmware: Firmware::Uefi,
        order: BootOrder::DiskFirst,
        loads_ipxe: true,
        timings: Timings::quick(),
        faults: FaultPlan::none(),
    };
    RackMachine { machine, bmc: vendor.map(|vendor| BmcConfig::new(vendor, "root", Secret::new("calvin"))) }
}

#[tokio::test]
async fn a_rack_comes_up_installs_and_is_shut_down_over_real_sockets() {
    let servers = servers().await;
    let bmc_port = {
        let free = TcpListener::bind((SERVER, 0)).await.unwrap();
        free.local_addr().unwrap().port()
    };
    let vendors = [Some(Vendor::Dell), Some(Vendor::Hpe), Some(Vendor::Supermicro), Some(Vendor::Generic), None];
    let machines = vendors.iter().zip(1..).map(|(vendor, index)| spec(index, *vendor)).collect();
    let (dhcp, tftp_port) = (servers.dhcp, servers.tftp_port);
    let rack = Rack::start(RackConfig { dhcp, relay: RELAY, tftp_port, bmc_port, machines }).await.unwrap();
    let whole = async {
        rack.wait_until(|views| views.iter().take(4).all(|view| view.bmc_ip.is_some())).await;
        let mut work = JoinSet::new();
        let targets: Vec<_> = rack
            .machines()
            .iter()
            .filter_map(|view| {
                let ms = Duration::from_millis;
                Some(Endpoint {
                    port: bmc_port,
                    protocol: Protocol::Redfish,
                    timeouts: Timeouts { power: ms(5000), graceful: ms(5000), poll: ms(50), ..Timeouts::default() },
                    ..Endpoint::new(
                        format!("cluster1/{}", view.name).parse().unwrap(),
                        view.bmc_ip?.into(),
                        "root",
                        Secret::new("calvin"),
                    )
                })
            })
            .collect();
        for target in targets.clone() {
            work.spawn(async move {
                bmc::probe(&target, None).await.unwrap();
                bmc::prepare(&target).await.unwrap();
                bmc::arm(&target, BootMode::Uefi).await.unwrap();
            });
        }
        assert!(rack.power_button("hv5").await && !rack.power_button("nobody").await);
        while let Some(done) = work.join_next().await {
            done.unwrap();
        }
        rack.wait_until(|views| views.iter().all(|view| view.stage == Stage::Running)).await;
        assert!(rack.machines().iter().take(4).all(|view| view.led && view.sessions == 0));
        let seen =
            |what: &str| servers.seen.lock().unwrap().check_ins.iter().filter(|(_, body)| body.contains(what)).count();
        let news = servers.seen.lock().unwrap().news.clone();
        while seen("system-boot_initial") < 5 {
            news.notified().await;
        }
        for target in &targets {
            assert_eq!(bmc::finish(target, true).await, Ok(PowerState::Off));
        }
    };
    tokio::time::timeout(Duration::from_secs(60), whole).await.expect("in time");
    let views = rack.machines();
    for view in &views {
        assert_eq!(view.disk, Disk::Installed { token: Some(TOKEN.into()) });
        assert_eq!((view.wipes.len(), view.installer_boots, view.os_boots), (1, 1, 1), "{view:?}");
        let sent = servers.seen.lock().unwrap();
        let mine: Vec<_> =
            sent.check_ins.iter().filter(|(peer, _)| Some(peer.ip()) == view.ip.map(Into::into)).collect();
        assert!(view.power == PowerState::Off || mine.len() == 3, "from the leased address: {mine:?}");
        let named = sent.check_ins.iter().filter(|(_, body)| {
            body.contains(&spec(view.name.as_bytes()[2] - b'0', None).machine.boot_mac.to_string())
        });
        assert_eq!(named.count(), 3);
    }
    rack.stop().await;
    assert!(TcpListener::bind((views[0].bmc_ip.unwrap(), bmc_port)).await.is_ok(), "nothing listens any more");
}
