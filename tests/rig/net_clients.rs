//! Network namespaces with the real daemon in one and real DHCP clients, relays and servers in the others. Everything
//! dies with the rig.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The longest wait for anything. Far more than anything takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether the test can be run here; says why not. With `CI=true` a missing program is a failure.
pub fn can_run(programs: &[&str]) -> bool {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED network namespaces need root");
        return false;
    }
    let missing: Vec<_> = programs.iter().chain(&["ip"]).filter(|name| find(name).is_none()).collect();
    if !missing.is_empty() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "missing: {missing:?}; see tests/run");
        println!("SKIPPED missing: {missing:?}");
        return false;
    }
    let probe = format!("rw-{}-probe", unique());
    let made = quietly(&["ip", "netns", "add", &probe]);
    if made {
        quietly(&["ip", "netns", "del", &probe]);
    } else {
        println!("SKIPPED this machine makes no network namespaces");
    }
    made
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').map(|dir| Path::new(dir).join(program)).find(|path| path.is_file())
}

fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(find(words[0]).unwrap_or_else(|| words[0].into()));
    command.args(&words[1..]).stdin(Stdio::null());
    command
}

fn quietly(words: &[&str]) -> bool {
    let status = command(words).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Waits until something holds.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Several namespaces and what runs in them.
pub struct Net {
    prefix: String,
    namespaces: Vec<String>,
    running: Vec<Child>,
    pub dir: tempfile::TempDir,
}

impl Net {
    /// A namespace `server` with a bridge `br0` that has the address `10.92.0.1/24`.
    pub fn new() -> Net {
        let dir = tempfile::Builder::new().prefix("rackwright-net-").tempdir().unwrap();
        let mut net = Net { prefix: format!("rw-{}", unique()), namespaces: Vec::new(), running: Vec::new(), dir };
        net.namespace("server");
        net.ip("server", "link add br0 type bridge stp_state 0 forward_delay 0");
        net.ip("server", "addr add 10.92.0.1/24 dev br0");
        net.ip("server", "link set br0 up");
        net
    }

    fn name(&self, role: &str) -> String {
        format!("{}-{role}", self.prefix)
    }

    pub fn namespace(&mut self, role: &str) {
        let name = self.name(role);
        assert!(quietly(&["ip", "netns", "add", &name]), "{name}");
        self.namespaces.push(name);
        self.ip(role, "link set lo up");
    }

    /// `ip …` in a namespace.
    pub fn ip(&self, role: &str, words: &str) {
        let name = self.name(role);
        let words: Vec<_> = ["ip", "-n", &name].into_iter().chain(words.split(' ')).collect();
        let out = command(&words).output().unwrap();
        assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// A wire from `eth` of one namespace to `peer` of another.
    pub fn wire(&self, from: &str, eth: &str, to: &str, peer: &str) {
        let there = self.name(to);
        self.ip(from, &format!("link add {eth} type veth peer name {peer} netns {there}"));
        self.ip(from, &format!("link set {eth} up"));
        self.ip(to, &format!("link set {peer} up"));
    }

    /// A namespace whose `eth0` is on the server's bridge.
    pub fn client(&mut self, role: &str) {
        self.namespace(role);
        self.wire("server", &format!("p-{role}"), role, "eth0");
        self.ip("server", &format!("link set p-{role} master br0"));
    }

    /// A command in a namespace.
    pub fn inside(&self, role: &str, words: &[&str]) -> Command {
        let name = self.name(role);
        let program = find(words[0]).map(|path| path.display().to_string()).unwrap_or_else(|| words[0].to_owned());
        let all: Vec<&str> =
            ["ip", "netns", "exec", &name, &program].into_iter().chain(words[1..].iter().copied()).collect();
        command(&all)
    }

    /// Runs to its end and gives what it said.
    pub fn run(&self, role: &str, words: &[&str]) -> (bool, String) {
        let out = self.inside(role, words).output().unwrap();
        (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    }

    /// Begins something that runs on; what it says goes to a file.
    pub fn begin(&mut self, role: &str, log: &str, words: &[&str]) -> u32 {
        let file = std::fs::File::options().create(true).append(true).open(self.dir.path().join(log)).unwrap();
        let child = self.inside(role, words).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        let id = child.id();
        self.running.push(child);
        id
    }

    /// What was written to a file of the rig.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// Waits until a file of the rig contains something.
    pub fn says(&self, name: &str, what: &str) -> String {
        let look = || Some(self.log(name)).filter(|text| text.contains(what));
        until(&format!("{name} says {what:?}; it says {}", self.log(name)), look)
    }

    /// Starts the daemon, and waits until it serves.
    pub fn daemon(&mut self, dhcp: &str) {
        self.daemon_under(&[], dhcp);
    }

    /// The same, started by another program.
    pub fn daemon_under(&mut self, before: &[&str], dhcp: &str) {
        let dir = self.dir.path().display().to_string();
        let git =
            Command::new("git").args(["init", "-q", "--bare", "-b", "main"]).arg(format!("{dir}/repo.git")).status();
        assert!(git.unwrap().success());
        let text = format!(
            "repository: {{ url: {dir}/repo.git }}\nstate_dir: {dir}/state\nnetwork:\n  address: 10.92.0.1\n  dhcp:\n{dhcp}"
        );
        std::fs::write(self.dir.path().join("rackwright.yaml"), text).unwrap();
        let config = format!("{dir}/rackwright.yaml");
        let words = [env!("CARGO_BIN_EXE_rackwright"), "run", "--config", &config, "--first-run"];
        self.begin("server", "daemon.log", &[before, &words].concat());
        self.says("daemon.log", "serving");
    }

    /// Powers on a machine without disk whose NIC is on the server's bridge; what it prints goes to `<name>.log`. With
    /// `firmware` of its own, the NIC's iPXE is left out.
    pub fn machine(&mut self, name: &str, mac: &str, firmware: &[&str]) {
        self.ip("server", &format!("tuntap add dev t-{name} mode tap"));
        self.ip("server", &format!("link set t-{name} master br0 up"));
        let serial = format!("file:{}", self.dir.path().join(format!("{name}.log")).display());
        let tap = format!("tap,id=n,ifname=t-{name},script=no,downscript=no");
        let (rom, board) =
            if firmware.is_empty() { ("", "pc,graphics=off") } else { (",romfile=", "q35,graphics=off") };
        let nic = format!("virtio-net-pci,netdev=n,mac={mac}{rom}");
        // The accelerator of a machine that is virtual itself does not always work.
        let words =
            ["qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-vga", "none", "-display", "none", "-no-reboot"];
        let parts = ["-nodefaults", "-serial", &serial, "-netdev", &tap, "-device", &nic, "-machine", board];
        self.begin("server", &format!("{name}.out"), &[&words[..], &parts, firmware].concat());
    }

    /// Begins to write down the frames that a namespace's `eth0` sees.
    pub fn watch(&mut self, role: &str, log: &str) {
        self.begin(
            role,
            log,
            &["tcpdump", "-l", "-n", "-e", "-vvv", "-i", "eth0", "arp or udp port 67 or udp port 68"],
        );
        self.says(log, "listening");
    }

    /// A script for udhcpc and dhclient that sets the address and writes down what happened.
    pub fn script(&self, log: &str) -> String {
        let (path, log) = (self.dir.path().join(format!("{log}.sh")), self.dir.path().join(log));
        let text = format!(
            "#!/bin/sh\nwhat=${{1:-$reason}} ip=${{ip:-$new_ip_address}} router=${{router:-$new_routers}}\n\
             [ -n \"$ip\" ] && ip addr replace $ip/24 dev $interface\n\
             [ -n \"$ip\" ] && [ -n \"$router\" ] && ip route replace default via $router\n\
             echo \"$what $ip ${{boot_file:-}}\" >> {}\n",
            log.display()
        );
        std::fs::write(&path, text).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    /// A number of `/metrics`.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.run("server", &["busybox", "wget", "-q", "-O", "-", "http://10.92.0.1:9999/metrics"]);
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in &self.namespaces {
            quietly(&["ip", "netns", "del", name]);
        }
        if std::thread::panicking() {
            for name in ["daemon.log", "client.log", "client.out", "other.log", "wire.log"] {
                println!("--- {name}\n{}", self.log(name));
            }
        }
    }
}
