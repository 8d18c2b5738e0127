//! OpenIPMI's `ipmi_sim` as a BMC on loopback, a relay that counts logins before it, a machine's serial port behind it,
//! and somebody who looks for the password in every process's arguments. Everything ends with the bench.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket as StdSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rackwright::drive::bmc::{Endpoint, Timeouts};
use rackwright::model::{Protocol, Secret};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// Found nowhere else on this machine.
pub const PASSWORD: &str = "Pl4nted-IPMI-3c9";
/// The longest wait for anything. Far more than anything takes on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program of power, boot device and LED: what it is told is in the file `log`.
const CHASSIS: &str = r#"#!/bin/bash
cd "$(dirname "$0")"; op=$2; shift 2; echo "$op $*" >> log
case $op in
  get) for p in "$@"; do case $p in power) echo "power:$(cat power)";; boot) echo "boot:$(cat boot)";; *) exit 1;; esac; done;;
  set) while [ $# -gt 0 ]; do case $1 in power) echo "$2" > power;; boot) echo "$2" > boot;; shutdown) echo 0 > power;;
    reset) ;; identify) shift;; *) exit 1;; esac; shift; shift || true; done;;
esac
"#;
/// The program of LAN parameters.
const LAN: &str = r#"#!/bin/bash
op=$2; shift 2
if [ "$op" = get ]; then for p in "$@"; do case $p in ip_addr) echo ip_addr:127.0.0.1;; ip_addr_src) echo ip_addr_src:dhcp;;
  mac_addr|default_gw_mac_addr|backup_gw_mac_addr) echo "$p:52:54:00:77:aa:01";; subnet_mask) echo subnet_mask:255.0.0.0;;
  default_gw_ip_addr|backup_gw_ip_addr) echo "$p:0.0.0.0";; *) exit 1;; esac; done; fi
"#;

/// Whether the test can be run here; says why not. With `CI=true` a missing program is a failure.
pub fn can_run() -> bool {
    let missing: Vec<_> = ["ipmitool", "ipmi_sim", "script"].into_iter().filter(|name| !there(name)).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "missing: {missing:?}; see tests/run");
    println!("SKIPPED missing: {missing:?}");
    false
}

fn there(program: &str) -> bool {
    std::env::var("PATH").unwrap_or_default().split(':').any(|dir| Path::new(dir).join(program).is_file())
}

/// `ipmi_sim` and what surrounds it.
pub struct Bench {
    pub dir: tempfile::TempDir,
    sim: Child,
    relay: u16,
    port: u16,
    logins: Arc<AtomicU32>,
    _tasks: JoinSet<()>,
}

impl Bench {
    /// A BMC whose machine is off.
    pub async fn start() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let serial = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = StdSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        write_files(dir.path(), port, serial.local_addr().unwrap().port());
        let log = std::fs::File::create(dir.path().join("sim.log")).unwrap();
        let mut sim = Command::new("ipmi_sim");
        sim.args(["-n", "-c", "lan.conf", "-f", "emu", "-s", "state"]).current_dir(dir.path());
        let sim = sim.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(machine(serial));
        let relay = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let logins = Arc::new(AtomicU32::new(0));
        let bench =
            Bench { dir, sim, relay: relay.local_addr().unwrap().port(), port, logins: logins.clone(), _tasks: tasks };
        bench.until("ipmi_sim listens", || {
            let sockets = std::fs::read_to_string("/proc/net/udp").unwrap();
            sockets.contains(&format!(" 0100007F:{port:04X} "))
        });
        let mut bench = bench;
        bench._tasks.spawn(forward(relay, port, logins));
        bench
    }

    fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < deadline, "{what}: {}", self.file("sim.log"));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn target(&self) -> Endpoint {
        let address = Ipv4Addr::LOCALHOST.into();
        Endpoint {
            ipmi_port: self.relay,
            protocol: Protocol::Ipmi,
            timeouts: Timeouts { poll: Duration::from_millis(50), ..Timeouts::default() },
            ..Endpoint::new("c1/hv1".parse().unwrap(), address, "admin", Secret::new(PASSWORD))
        }
    }

    /// The BMC's own port: it names it when a console is opened, so that a relay does not do.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// RAKP messages 1 that have passed: attempts to log in.
    pub fn logins(&self) -> u32 {
        self.logins.load(Ordering::SeqCst)
    }

    /// A file of the BMC.
    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// What the chassis was told, in order.
    pub fn told(&self) -> Vec<String> {
        self.file("log")
            .lines()
            .filter(|line| line.starts_with("set "))
            .map(|line| line[4..].trim().to_owned())
            .collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.sim.kill();
        let _ = self.sim.wait();
    }
}

fn write_files(dir: &Path, port: u16, serial: u16) {
    let here = dir.display();
    let lan = format!(
        "name \"bench\"\nset_working_mc 0x20\n  startlan 1\n    addr 127.0.0.1 {port}\n    priv_limit admin\n    \
         allowed_auths_admin none md2 md5 straight\n    guid a123456789abcdefa123456789abcde0\n    \
         lan_config_program \"{here}/lan lo\"\n  endlan\n  chassis_control \"{here}/chassis 0x20\"\n  \
         sol \"tcp:127.0.0.1:{serial}\" 115200\n  user 2 true \"admin\" \"{PASSWORD}\" admin 10 none md2 md5 straight\n"
    );
    let fru = fru();
    let hex: Vec<_> = fru.iter().map(|byte| format!("{byte:#04x}")).collect();
    let emu = format!(
        "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nsel_enable 0x20 1000 0x0a\n\
         mc_add_fru_data 0x20 0 {} data {}\nsel_add 0x20 2 0 0 0 0 0x20 0x00 0x04 0x07 0x01 0x6f 0x07 0xff 0xff\n\
         mc_enable 0x20\n",
        fru.len(),
        hex.join(" ")
    );
    std::fs::create_dir(dir.join("state")).unwrap();
    for (name, text) in [
        ("lan.conf", &*lan),
        ("emu", &*emu),
        ("chassis", CHASSIS),
        ("lan", LAN),
        ("power", "0\n"),
        ("boot", "default\n"),
    ] {
        std::fs::write(dir.join(name), text).unwrap();
        std::fs::set_permissions(dir.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Inventory as in the Platform Management FRU Information Storage Definition 1.0: header and product area.
fn fru() -> Vec<u8> {
    let mut area = vec![1, 0, 0];
    for text in ["Example Works", "Model One", "PART-1", "01", "SER0001", "ASSET-7"] {
        area.push(0xc0 | u8::try_from(text.len()).unwrap());
        area.extend(text.bytes());
    }
    area.extend([0xc0, 0xc1]);
    area.resize(area.len().next_multiple_of(8) - usize::from(area.len() % 8 != 0), 0);
    if area.len() % 8 == 0 {
        area.resize(area.len() + 7, 0);
    }
    area[1] = u8::try_from((area.len() + 1) / 8).unwrap();
    let checksum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    area.push(checksum(&area));
    let mut all = vec![1, 0, 0, 0, 1, 0, 0];
    all.push(checksum(&all));
    all.extend(area);
    all
}

/// A serial port whose machine repeats what it hears.
async fn machine(serial: TcpListener) {
    let mut buffer = [0; 256];
    loop {
        let (mut line, _) = serial.accept().await.unwrap();
        while let Ok(count @ 1..) = line.read(&mut buffer).await {
            let said = [b"the machine heard ", &buffer[..count], b"\r\n"].concat();
            if line.write_all(&said).await.is_err() {
                break;
            }
        }
    }
}

/// Passes datagrams on, and counts RAKP messages 1 (IPMI 2.0 table 13-8: payload type 12h of an RMCP+ packet).
async fn forward(client_side: UdpSocket, port: u16, logins: Arc<AtomicU32>) {
    let bmc_side = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    bmc_side.connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let (mut up, mut down, mut client) = ([0; 2048], [0; 2048], None);
    loop {
        tokio::select! {
            Ok((count, peer)) = client_side.recv_from(&mut up) => {
                client = Some(peer);
                if count > 5 && up[4] == 6 && up[5] & 0x3f == 0x12 {
                    logins.fetch_add(1, Ordering::SeqCst);
                }
                let _ = bmc_side.send(&up[..count]).await;
            }
            Ok(count) = bmc_side.recv(&mut down) => {
                if let Some(peer) = client {
                    let _ = client_side.send_to(&down[..count], peer).await;
                }
            }
        }
    }
}

/// Looks at the arguments of every process, over and over.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(BTreeSet<String>, Vec<String>)>,
}

impl Watch {
    pub fn start() -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let heard = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut seen, mut leaks) = (BTreeSet::new(), Vec::new());
            while !heard.load(Ordering::SeqCst) {
                for process in std::fs::read_dir("/proc").unwrap().flatten() {
                    let Ok(bytes) = std::fs::read(process.path().join("cmdline")) else { continue };
                    let line = String::from_utf8_lossy(&bytes).replace('\0', " ");
                    if line.contains(PASSWORD) {
                        leaks.push(line);
                    } else if line.starts_with("ipmitool ") {
                        seen.insert(line);
                    }
                }
                // Often enough: one call takes ten times as long.
                std::thread::sleep(Duration::from_millis(2));
            }
            (seen, leaks)
        });
        Watch { stop, thread }
    }

    /// The calls of `ipmitool` that were seen, none of which had the password.
    pub fn end(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::SeqCst);
        let (seen, leaks) = self.thread.join().unwrap();
        assert!(leaks.is_empty(), "the password was among a process's arguments: {leaks:?}");
        seen
    }
}
