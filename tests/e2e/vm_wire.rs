//! Real firmware on a network that is less simple: a second segment behind a relay, and a DHCP server that nobody asked
//! for.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rackwright::cli::demo::vms::ground;
use rackwright::cli::demo::vms::site::Make;
use rackwright::sim::machine::{BootOrder, Firmware};
use tokio::time::timeout;

use crate::rig::e2e_vm::{VmRig, within};

/// Two machines behind the relay, one beside the server.
const BIOS_BEHIND: &str = "vms/hv1";
const UEFI_BEHIND: &str = "vms/hv2";
const BESIDE: &str = "vms/hv3";
/// The server that nobody asked for. It hands out addresses of its own network, and no boot file.
const STRANGER: &str = "192.0.2.1";

/// A running program; it ends with its owner.
struct Program(Child);

impl Program {
    fn start(command: &mut Command) -> Program {
        Program(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A network namespace that lives as long as the process in it.
struct Island(Program);

impl Island {
    async fn new() -> Island {
        let island = Island(Program::start(Command::new("unshare").args(["--net", "--", "sleep", "infinity"])));
        let net = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let apart = async {
            while net(&island.pid()).is_none_or(|its| Some(its) == net("self")) {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), apart).await.expect("a namespace");
        island
    }

    fn pid(&self) -> String {
        self.0.0.id().to_string()
    }

    /// A program that runs inside.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid(), "--net", "--"]).args(words);
        command
    }

    fn run(&self, script: &str) {
        let output = self.command(&["sh", "-ec", script]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A second segment for the first two machines: `br1`, 10.78.0.0/24, with a router that forwards and relays.
async fn lay_second_segment(router: &Island) {
    let pid = router.pid();
    ground::ip(&[
        "link add br1 type bridge stp_state 0 forward_delay 0 mcast_snooping 0".into(),
        "link set br1 up".into(),
        "link set tap0 master br1".into(),
        "link set tap1 master br1".into(),
        format!("link add up0 type veth peer name r0 netns {pid}"),
        format!("link add down0 type veth peer name r1 netns {pid}"),
        "link set up0 master br0 up".into(),
        "link set down0 master br1 up".into(),
    ])
    .await
    .unwrap();
    router.run(
        "ip address add 10.77.0.2/24 dev r0; ip link set r0 up; ip link set lo up
         ip address add 10.78.0.1/24 dev r1; ip link set r1 up
         echo 1 > /proc/sys/net/ipv4/ip_forward",
    );
    ground::ip(&["route add 10.78.0.0/24 via 10.77.0.2".into()]).await.unwrap();
}

/// Plugs the stranger in.
async fn plug_in(stranger: &Island) -> Program {
    let pid = stranger.pid();
    let lines = [format!("link add odd0 type veth peer name s0 netns {pid}"), "link set odd0 master br0 up".into()];
    ground::ip(&lines).await.unwrap();
    stranger.run("ip link set lo up; ip address add 192.0.2.1/24 dev s0; ip link set s0 up");
    Program::start(&mut stranger.command(&[
        "dnsmasq",
        "--keep-in-foreground",
        "--port=0",
        "--no-ping",
        "--dhcp-authoritative",
        "--conf-file=/dev/null",
        "--dhcp-leasefile=/dev/null",
        "--user=root",
        "--pid-file=",
        "--interface=s0",
        "--dhcp-range=192.0.2.100,192.0.2.150,1h",
    ]))
}

#[test]
fn e2e_vm_a_relay_is_served_and_a_stranger_is_reported() {
    within("e2e::vm_wire::e2e_vm_a_relay_is_served_and_a_stranger_is_reported", async {
        let make = |firmware| Make { firmware, order: BootOrder::DiskFirst };
        let makes = [make(Firmware::Bios), make(Firmware::Uefi), make(Firmware::Bios)];
        let behind = "subnets:\n      - { subnet: 10.78.0.0/24, range: 10.78.0.100-10.78.0.199, gateway: 10.78.0.1 }";
        let tweaks = [("subnets:", behind), ("boot_timeout: 5m", "boot_timeout: 90s")];
        let (router, stranger) = (Island::new().await, Island::new().await);
        let mut rig = VmRig::new(&makes, &tweaks, async || lay_second_segment(&router).await).await;
        rig.advertise("br1");
        let _relay =
            Program::start(&mut router.command(&["dhcrelay", "-4", "-d", "-a", "-iu", "r0", "-id", "r1", "10.77.0.1"]));
        let strange = plug_in(&stranger).await;
        rig.push("Define the cluster").await;

        // The stranger is noticed and reported, by the status branch and by the API.
        let reported = async |rig: &VmRig| {
            let readme = rig.status().and_then(|status| status.files.get("README.md").cloned()).unwrap_or_default();
            readme.contains(&format!("**Another DHCP server answers on this network:** {STRANGER}"))
                && rig.api("rack").await["foreign_dhcp"]["server"] == STRANGER
        };
        rig.until("the other DHCP server is reported", reported).await;
        // Whoever takes its offer gets no boot file, which harms nobody: once it is gone the next try succeeds. Behind
        // the relay nobody hears of it.
        for name in [BIOS_BEHIND, UEFI_BEHIND] {
            let done = async |rig: &VmRig| rig.disk_boots(name) == 1;
            rig.until("the machines behind the relay come up from their disks", done).await;
            assert!(rig.serial(name).contains("install-complete from 10.78.0."), "{name} is on the second segment");
        }
        drop(strange);
        rig.until_completed().await;
        for name in [BIOS_BEHIND, UEFI_BEHIND, BESIDE] {
            assert_eq!((rig.installs(name).as_deref(), rig.disk_boots(name)), (Some("1"), 1), "{name}");
        }
        let astray = rig.serial(BESIDE).matches("net0: 192.0.2.").count();
        println!("{BESIDE} took the stranger's address {astray} times in {} starts", rig.machine(BESIDE).starts);
    });
}
