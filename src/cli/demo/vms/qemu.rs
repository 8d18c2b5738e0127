//! One QEMU process: its command line for each kind of firmware, and how it ended. Emulated in software (TCG) always:
//! a `/dev/kvm` that opens is no promise that a stock kernel runs on it.
#![allow(missing_docs, reason = "the names say the rest")]

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::drive::process::{Run, Running};
use crate::model::Mac;
use crate::sim::machine::Firmware;

/// OVMF's code and the variables it starts from (Debian package `ovmf`).
pub(super) const OVMF: [&str; 2] = ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"];
/// Size of a machine's disk: a little more than the image's.
const DISK: u64 = 32 << 20;

#[derive(Clone, Debug)]
pub struct Hardware {
    /// Where its disk, its firmware's variables and its logs are.
    pub dir: PathBuf,
    pub firmware: Firmware,
    pub mac: Mac,
    /// The tap that the NIC is plugged into.
    pub tap: String,
}

impl Hardware {
    pub fn disk(&self) -> PathBuf {
        self.dir.join("disk.raw")
    }

    /// Everything the machine said on its serial port.
    pub fn serial(&self) -> PathBuf {
        self.dir.join("serial.log")
    }

    fn vars(&self) -> PathBuf {
        self.dir.join("vars.fd")
    }

    /// A new machine: a blank disk, and firmware that remembers nothing.
    pub fn assemble(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        File::create(self.disk())?.set_len(DISK)?;
        File::create(self.serial())?;
        if self.firmware != Firmware::Bios {
            std::fs::copy(OVMF[1], self.vars())?;
        }
        Ok(())
    }

    pub(super) fn start(&self, network_first: bool) -> anyhow::Result<Emulator> {
        let log = File::options().create(true).append(true).open(self.dir.join("qemu.log"))?;
        let running = Run::new("qemu-system-x86_64").args(self.arguments(network_first)).start(log)?;
        Ok(Emulator { running, reset: false })
    }

    fn arguments(&self, network_first: bool) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| args.extend(words.iter().map(OsString::from));
        let memory = if self.firmware == Firmware::Bios { "256" } else { "384" };
        add(&["-accel", "tcg,tb-size=64", "-cpu", "max", "-smp", "1", "-m", memory]);
        add(&["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"]);
        add(&["-machine", "q35,graphics=off", "-action", "reboot=shutdown"]);
        add(&["-chardev", "stdio,id=qmp,signal=off", "-mon", "chardev=qmp,mode=control"]);
        add(&["-chardev", &format!("file,id=serial,append=on,path={}", quoted(&self.serial()))]);
        add(&["-serial", "chardev:serial"]);
        let (nic, disk) = if network_first { (1, 2) } else { (2, 1) };
        // With its option ROM the NIC has iPXE, under UEFI too; without, UEFI uses its own PXE client.
        let rom = if self.firmware == Firmware::Bios { "" } else { ",romfile=" };
        add(&["-netdev", &format!("tap,id=net,ifname={},script=no,downscript=no", self.tap)]);
        add(&["-device", &format!("virtio-net-pci,netdev=net,mac={},bootindex={nic}{rom}", self.mac)]);
        add(&["-drive", &format!("if=none,id=disk,format=raw,cache=unsafe,file={}", quoted(&self.disk()))]);
        add(&["-device", &format!("virtio-blk-pci,drive=disk,bootindex={disk}"), "-device", "virtio-rng-pci"]);
        let [_, _, a, b, c, d] = self.mac.0;
        add(&["-uuid", &format!("00000000-0000-4000-8000-0000{a:02x}{b:02x}{c:02x}{d:02x}")]);
        if self.firmware != Firmware::Bios {
            add(&["-drive", &format!("if=pflash,unit=0,format=raw,readonly=on,file={}", OVMF[0])]);
            add(&["-drive", &format!("if=pflash,unit=1,format=raw,file={}", quoted(&self.vars()))]);
            add(&["-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"]);
        }
        if self.firmware == Firmware::UefiHttp {
            add(&["-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n"]);
        }
        args
    }
}

/// A comma in a path is doubled for QEMU.
fn quoted(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// How a machine stopped by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Reset,
    Off,
}

pub(super) struct Emulator {
    running: Running,
    reset: bool,
}

impl Emulator {
    /// Follows its monitor (QMP, on its standard input and output) to its end. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> End {
        while let Ok(Some(line)) = self.running.stdout.next_line().await {
            let said: Value = serde_json::from_str(&line).unwrap_or_default();
            if said.get("QMP").is_some() {
                self.say("qmp_capabilities").await;
            } else if said["event"] == "SHUTDOWN" {
                self.reset = said["data"]["reason"] == "guest-reset";
            }
        }
        self.running.ended().await;
        if self.reset { End::Reset } else { End::Off }
    }

    /// Presses the ACPI power button.
    pub(super) async fn press(&mut self) {
        self.say("system_powerdown").await;
    }

    async fn say(&mut self, command: &str) {
        // Fails only when it has just ended, which `ended` tells.
        let _ = self.running.stdin.write_all(format!("{{\"execute\":\"{command}\"}}\n").as_bytes()).await;
    }

    pub(super) async fn kill(self) {
        self.running.kill().await;
    }
}
