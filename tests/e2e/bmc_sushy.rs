//! A Redfish service that nobody here wrote: OpenStack's sushy-tools 2.2.0, over TLS with Basic authentication, with its
//! fake driver, and with libvirt in front of a real QEMU machine. What became of it is read back with curl.

use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rackwright::drive::bmc::manual::{
    self,
    types::{Device, Power},
};
use rackwright::drive::bmc::{Endpoint, Order, Timeouts, Tls};
use rackwright::model::{BootMode, Inventory, NetworkBoot, Outcome, PowerState, Prepare, Protocol, Reason, Secret};
use serde_json::Value;

use crate::rig::bmc::{self, once};

const PASSWORD: &str = "sushy & wasabi";
const UUID: &str = "27946b59-9e44-4fa7-8e91-f3527a1ef094";
const MAC: &str = "52:54:00:77:01:0a";
/// The fake driver takes up to eleven seconds for each power transition; a busy machine takes longer for everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// The emulator that `tests/run` installs, unless it is missing.
fn emulator() -> Option<PathBuf> {
    let bin = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/sushy/bin");
    if bin.join("sushy-emulator").is_file() {
        return Some(bin);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "missing: sushy-tools; see tests/run");
    println!("SKIPPED missing: sushy-tools (tests/run installs it)");
    None
}

/// A program that dies with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// A BMC.
struct Sushy {
    dir: PathBuf,
    port: u16,
    _running: Running,
}

impl Sushy {
    /// `driver` is the part of its configuration that says what is behind it.
    fn start(bin: &Path, dir: &Path, driver: &str) -> Sushy {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(dir.join("crt.pem"), made.cert.pem()).unwrap();
        std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        std::fs::create_dir(dir.join("state")).unwrap();
        let script =
            "import bcrypt,sys;print('admin:'+bcrypt.hashpw(sys.stdin.read().encode(),bcrypt.gensalt(4)).decode())";
        let mut hashing = Command::new(bin.join("python"));
        hashing.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = hashing.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), PASSWORD.as_bytes()).unwrap();
        std::fs::write(dir.join("htpasswd"), child.wait_with_output().unwrap().stdout).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let conf = CONFIG.replace("@DIR@", dir.to_str().unwrap()).replace("@PORT@", &port.to_string());
        std::fs::write(dir.join("conf.py"), conf.replace("@DRIVER@", driver)).unwrap();
        let log = std::fs::File::create(dir.join("sushy.log")).unwrap();
        let mut command = Command::new(bin.join("sushy-emulator"));
        command.arg("--config").arg(dir.join("conf.py")).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let running = Running(command.spawn().unwrap());
        let sushy = Sushy { dir: dir.to_owned(), port, _running: running };
        wait_for("sushy-emulator listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        sushy
    }

    fn target(&self, password: &str, tls: Tls) -> Endpoint {
        let secs = Duration::from_secs;
        Endpoint {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: self.port,
            protocol: Protocol::Redfish,
            username: "admin".into(),
            password: Secret::new(password),
            tls,
            timeouts: Timeouts {
                request: secs(10),
                action: secs(100),
                power: secs(40),
                graceful: secs(15),
                poll: Duration::from_millis(200),
            },
            ..bmc::target(self.port)
        }
    }

    /// The system as curl reads it.
    fn system(&self, path: &str) -> Value {
        let url = format!("https://127.0.0.1:{}/redfish/v1/Systems/{UUID}{path}", self.port);
        let mut command = Command::new("curl");
        command.args(["--silent", "--insecure", "--user", &format!("admin:{PASSWORD}"), &url]);
        let output = command.output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?} {}", self.log()))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("sushy.log")).unwrap_or_default()
    }
}

const CONFIG: &str = "\
SUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'
SUSHY_EMULATOR_LISTEN_PORT = @PORT@
SUSHY_EMULATOR_STATE_DIR = '@DIR@/state'
SUSHY_EMULATOR_SSL_CERT = '@DIR@/crt.pem'
SUSHY_EMULATOR_SSL_KEY = '@DIR@/key.pem'
SUSHY_EMULATOR_AUTH_FILE = '@DIR@/htpasswd'
_u = '27946b59-9e44-4fa7-8e91-f3527a1ef094'
SUSHY_EMULATOR_STORAGE = {_u: [{'Id': '1', 'Name': 'Local Storage Controller', 'Drives': ['d0', 'd1'],
    'StorageControllers': [{'MemberId': '0', 'Name': 'Contoso Integrated RAID', 'SpeedGbps': 12}]}]}
SUSHY_EMULATOR_DRIVES = {(_u, '1'): [
    {'Id': 'd0', 'Name': 'Drive 0', 'CapacityBytes': 899527000000, 'Protocol': 'SAS'},
    {'Id': 'd1', 'Name': 'Drive 1', 'CapacityBytes': 899527000000, 'Protocol': 'SAS'}]}
SUSHY_EMULATOR_VOLUMES = {(_u, '1'): []}
@DRIVER@
";

const FAKE: &str = "\
SUSHY_EMULATOR_FAKE_DRIVER = True
SUSHY_EMULATOR_FAKE_SYSTEMS = [{'uuid': _u, 'name': 'fake0', 'power_state': 'Off', 'external_notifier': False,
    'nics': [{'mac': '52:54:00:77:01:0a', 'ip': '192.0.2.100'}]}]
";

async fn characterize(target: &Endpoint) -> (Inventory, String) {
    match once(target, &Order::Probe { boot_mac: None }).await.unwrap() {
        Outcome::Probed { inventory, pin, protocol: Protocol::Redfish } => (inventory, pin.unwrap()),
        other => panic!("{other:?}"),
    }
}

async fn arm(target: &Endpoint) {
    let order = Order::Arm { network_boot: NetworkBoot::Pxe, mode: BootMode::AsIs };
    assert_eq!(once(target, &order).await.unwrap(), Outcome::Armed);
}

async fn finish(target: &Endpoint) {
    let done = once(target, &Order::Finish { power_off: true }).await.unwrap();
    assert_eq!(done, Outcome::Finished(PowerState::Off));
}

#[tokio::test]
async fn the_fake_driver_is_characterized_prepared_booted_and_switched_off() {
    let Some(bin) = emulator() else { return };
    let dir = tempfile::tempdir().unwrap();
    let sushy = Sushy::start(&bin, dir.path(), FAKE);

    let (inventory, pin) = characterize(&sushy.target(PASSWORD, Tls::Pin(None))).await;
    assert_eq!(inventory.manufacturer.as_deref(), Some("Sushy Emulator"));
    assert_eq!(inventory.uuid.as_deref(), Some(UUID));
    assert_eq!(inventory.boot_mac, Some(MAC.parse().unwrap()));
    assert_eq!(inventory.power, Some(PowerState::Off));
    // Basic authentication and the pin are really looked at.
    let wrong = once(&sushy.target("wrong", Tls::Pin(None)), &Order::Probe { boot_mac: None }).await.unwrap_err();
    assert_eq!(wrong.reason, Reason::AuthenticationFailed, "{wrong}");
    let other = sushy.target(PASSWORD, Tls::Pin(Some("00".repeat(32))));
    let changed = once(&other, &Order::Probe { boot_mac: None }).await.unwrap_err();
    assert_eq!(changed.reason, Reason::CertificateChanged, "{changed}");

    let target = sushy.target(PASSWORD, Tls::Pin(Some(pin)));
    manual::boot(&target, Device::Disk).await.unwrap();
    let prepare = Order::Prepare { prepare: Prepare::default().into(), apply: true, pending: None };
    let Outcome::Prepared(preparation) = once(&target, &prepare).await.unwrap() else { panic!("not prepared") };
    assert_eq!(preparation.pending, None);
    assert_eq!(sushy.system("")["IndicatorLED"], "Lit");

    arm(&target).await;
    let system = sushy.system("");
    assert_eq!((&system["PowerState"], &system["Boot"]["BootSourceOverrideTarget"]), (&"On".into(), &"Pxe".into()));

    finish(&target).await;
    let system = sushy.system("");
    assert_eq!((&system["PowerState"], &system["IndicatorLED"]), (&"Off".into(), &"Off".into()));
    assert_eq!(manual::power(&target, Power::Status).await.unwrap(), PowerState::Off);
}

/// libvirtd in mount and process namespaces of its own, which end with the test, and everything that it started with them.
struct Libvirt {
    uri: String,
    dir: PathBuf,
    _running: Running,
}

/// Fixed paths of a system's libvirtd are covered by directories of the test's.
const LIBVIRTD: &str = r#"
mount --bind "$0/etc" /etc/libvirt
mount --bind "$0/etc/passwd" /etc/passwd
mount --bind "$0/etc/group" /etc/group
mount --bind "$0/var" /var
mount --bind "$0/run" /run
# Machines that were switched off must be reaped by somebody.
libvirtd &
wait
"#;

impl Libvirt {
    /// Nothing when this machine cannot.
    fn start(dir: &Path, bin: &Path) -> Option<Libvirt> {
        let quietly = |command: &mut Command| {
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|it| it.success())
        };
        let missing = |what: &str| {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "missing: {what}; see tests/run");
            println!("SKIPPED missing: {what}");
        };
        if !rustix::process::geteuid().is_root() {
            println!("SKIPPED libvirtd needs root");
            return None;
        }
        for (what, there) in [
            ("libvirtd", quietly(Command::new("libvirtd").arg("--version"))),
            ("virsh", quietly(Command::new("virsh").arg("--version"))),
            ("qemu-system-x86_64", quietly(Command::new("qemu-system-x86_64").arg("--version"))),
            ("python3-libvirt", quietly(Command::new(bin.join("python")).args(["-c", "import libvirt"]))),
        ] {
            if !there {
                missing(what);
                return None;
            }
        }
        for name in ["etc", "run", "var/lib/libvirt", "var/cache/libvirt", "var/log/libvirt"] {
            std::fs::create_dir_all(dir.join(name)).unwrap();
        }
        // Debian's libvirt insists on its user, even where it is told to use another.
        let with_user = |file: &str, line: &str| {
            let text = std::fs::read_to_string(Path::new("/etc").join(file)).unwrap();
            std::fs::write(dir.join("etc").join(file), format!("{text}{line}\n")).unwrap();
        };
        with_user("passwd", "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin");
        with_user("group", "libvirt-qemu:x:64055:");
        let qemu = "user = \"root\"\ngroup = \"root\"\ndynamic_ownership = 0\nstdio_handler = \"file\"\n\
                    security_driver = \"none\"\nnamespaces = []\ncgroup_controllers = []\n";
        std::fs::write(dir.join("etc/qemu.conf"), qemu).unwrap();
        std::fs::write(dir.join("etc/libvirtd.conf"), "auth_unix_rw = \"none\"\nunix_sock_group = \"root\"\n").unwrap();
        let log = std::fs::File::create(dir.join("libvirtd.log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", LIBVIRTD]).arg(dir);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let running = Running(command.spawn().unwrap());
        let socket = dir.join("run/libvirt/libvirt-sock");
        wait_for("libvirtd's socket", || socket.exists());
        let uri = format!("qemu+unix:///system?socket={}", socket.display());
        Some(Libvirt { uri, dir: dir.to_owned(), _running: running })
    }

    fn virsh(&self, args: &[&str]) -> String {
        let output = Command::new("virsh").args(["-q", "-c", &self.uri]).args(args).output().unwrap();
        assert!(output.status.success(), "virsh {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A machine that is off: BIOS, an empty disk, a NIC whose boot ROM speaks on the serial console.
    fn define(&self) {
        std::fs::File::create(self.dir.join("disk.raw")).unwrap().set_len(16 << 20).unwrap();
        let xml = DOMAIN.replace("@DIR@", self.dir.to_str().unwrap()).replace("@UUID@", UUID).replace("@MAC@", MAC);
        std::fs::write(self.dir.join("machine.xml"), xml).unwrap();
        self.virsh(&["define", self.dir.join("machine.xml").to_str().unwrap()]);
    }

    /// What the machine's firmware has said.
    fn console(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.join("serial")).unwrap_or_default()).into_owned()
    }
}

const DOMAIN: &str = "\
<domain type='qemu'><name>hv1</name><uuid>@UUID@</uuid><memory unit='MiB'>96</memory><vcpu>1</vcpu>
 <os><type arch='x86_64' machine='q35'>hvm</type><bios useserial='yes'/><boot dev='hd'/></os>
 <features><acpi/></features><on_reboot>restart</on_reboot><on_poweroff>destroy</on_poweroff>
 <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
  <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='@DIR@/disk.raw'/><target dev='vda' bus='virtio'/></disk>
  <interface type='user'><mac address='@MAC@'/><model type='virtio'/></interface>
  <serial type='file'><source path='@DIR@/serial'/><target port='0'/></serial>
  <video><model type='none'/></video><memballoon model='none'/></devices></domain>
";

#[tokio::test]
async fn a_real_machine_boots_from_the_network_and_is_switched_off() {
    let Some(bin) = emulator() else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some(libvirt) = Libvirt::start(dir.path(), &bin) else { return };
    libvirt.define();
    let sushy = Sushy::start(&bin, dir.path(), &format!("SUSHY_EMULATOR_LIBVIRT_URI = '{}'", libvirt.uri));

    let (inventory, pin) = characterize(&sushy.target(PASSWORD, Tls::Pin(None))).await;
    assert_eq!(inventory.boot_mac, Some(MAC.parse().unwrap()));
    assert_eq!(inventory.power, Some(PowerState::Off));
    let target = sushy.target(PASSWORD, Tls::Pin(Some(pin)));
    let prepare = Order::Prepare { prepare: Prepare::default().into(), apply: true, pending: None };
    assert!(matches!(once(&target, &prepare).await.unwrap(), Outcome::Prepared(_)));

    arm(&target).await;
    assert_eq!(libvirt.virsh(&["domstate", "hv1"]).trim(), "running");
    wait_for("the NIC's boot ROM runs", || libvirt.console().contains("iPXE"));

    // Nothing in the machine listens to a polite request: power is cut after it.
    finish(&target).await;
    assert_eq!(libvirt.virsh(&["domstate", "hv1"]).trim(), "shut off");
    assert_eq!(manual::power(&target, Power::On).await.unwrap(), PowerState::On);
    assert_eq!(manual::power(&target, Power::Cycle).await.unwrap(), PowerState::On);
    assert_eq!(manual::power(&target, Power::Off).await.unwrap(), PowerState::Off);
    assert_eq!(libvirt.virsh(&["domstate", "hv1"]).trim(), "shut off");
}
