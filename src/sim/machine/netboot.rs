//! Firmware and network boot: the boot entries, DHCP, iPXE and its scripts.

use super::{Ack, BootOrder, DhcpClient, Disk, Doing, Effect, Entry, Firmware, Machine};
use crate::model::Time;
use crate::sim::fault::Fault;
use crate::sim::ipxe::{Ipxe, Turn};

impl Machine {
    /// The firmware makes its list of things to boot.
    pub(super) fn look_for_boot(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let faults = &mut self.config.faults;
        let network_first = self.config.order == BootOrder::NetworkFirst || faults.has(Fault::PxeFirst);
        self.entries =
            if network_first { [Entry::Network, Entry::Disk].into() } else { [Entry::Disk, Entry::Network].into() };
        if let Some(wanted) = self.boot_override {
            if !faults.fires(Fault::ForgetsBootOverride) {
                self.entries.push_front(if wanted.network { Entry::Network } else { Entry::Disk });
            }
            if wanted.once && !faults.has(Fault::ContinuousBootOverride) {
                self.boot_override = None;
            }
        }
        self.next_entry(now, effects);
    }

    pub(super) fn next_entry(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.script = None;
        loop {
            match self.entries.pop_front() {
                Some(Entry::Disk) if self.bootable() => return self.boot_disk(now),
                Some(Entry::Disk) => {}
                Some(Entry::Network) => {
                    return self.ask_dhcp(now, Doing::PxeDhcp, self.firmware_client(), effects);
                }
                None => {
                    self.console = "no bootable device".into();
                    return self.enter(now, Doing::NoBootDevice, self.config.timings.retry);
                }
            }
        }
    }

    pub(super) fn bootable(&self) -> bool {
        matches!(self.disk, Disk::Installed { .. })
    }

    pub(super) fn boot_disk(&mut self, now: Time) {
        self.os_boots += 1;
        self.enter(now, Doing::OsBoot, self.config.timings.os_boot);
    }

    fn firmware_client(&self) -> DhcpClient {
        match self.config.firmware {
            Firmware::UefiHttp => DhcpClient::Http(16),
            Firmware::Uefi | Firmware::Bios => DhcpClient::Pxe(self.arch()),
        }
    }

    pub(super) fn arch(&self) -> u16 {
        match self.config.firmware {
            Firmware::Uefi | Firmware::UefiHttp => 7,
            Firmware::Bios => 0,
        }
    }

    /// Numbers a request; `None` when the network swallows it.
    pub(super) fn ask(&mut self, now: Time, doing: Doing, make: impl FnOnce(u64) -> Effect, effects: &mut Vec<Effect>) {
        self.enter(now, doing, self.config.timings.network);
        self.last_id += 1;
        self.pending = Some(self.last_id);
        let effect = make(self.last_id);
        if !self.config.faults.fires(Fault::LostPacket) {
            effects.push(effect);
        }
    }

    pub(super) fn ask_dhcp(&mut self, now: Time, doing: Doing, client: DhcpClient, effects: &mut Vec<Effect>) {
        let (mac, requested) = (self.config.boot_mac, self.ip());
        self.ask(now, doing, |id| Effect::Dhcp { id, mac, client, requested }, effects);
    }

    /// Asks for a file by URL (`tftp://`, `http://`), or by TFTP name on the next server.
    pub(super) fn ask_file(&mut self, now: Time, doing: Doing, url: &str, effects: &mut Vec<Effect>) {
        let Some(lease) = self.lease.clone() else { return self.next_entry(now, effects) };
        let url = url.to_owned();
        self.ask(
            now,
            doing,
            |id| {
                if url.starts_with("http://") || url.starts_with("https://") {
                    return Effect::Http { id, from: lease.ip, url };
                }
                match url.strip_prefix("tftp://").and_then(|rest| rest.split_once('/')) {
                    Some((server, name)) => {
                        Effect::Tftp { id, from: lease.ip, server: server.into(), name: name.into() }
                    }
                    None => Effect::Tftp { id, from: lease.ip, server: lease.next_server.to_string(), name: url },
                }
            },
            effects,
        );
    }

    pub(super) fn dhcp(&mut self, now: Time, ack: Option<Ack>, effects: &mut Vec<Effect>) {
        let file = ack.as_ref().and_then(|ack| ack.file.clone());
        let got = ack.is_some();
        if got {
            self.lease = ack;
        }
        match (self.doing, file) {
            (Doing::PxeDhcp, Some(file)) if self.config.loads_ipxe => {
                self.ask_file(now, Doing::PxeLoad, &file, effects);
            }
            (Doing::PxeDhcp, Some(_)) => self.start_ipxe(now, effects),
            (Doing::IpxeDhcp, Some(file)) => self.ask_file(now, Doing::Script, &file, effects),
            (Doing::OsDhcp, _) if got => self.enter(now, Doing::Settle, self.config.timings.settle),
            // dhclient asks again and again; firmware goes on to its next entry.
            (Doing::OsDhcp, _) => self.enter(now, Doing::OsBoot, self.config.timings.retry),
            _ => self.next_entry(now, effects),
        }
    }

    pub(super) fn start_ipxe(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.ask_dhcp(now, Doing::IpxeDhcp, DhcpClient::Ipxe(self.arch()), effects);
    }

    pub(super) fn file(&mut self, now: Time, body: Option<Vec<u8>>, effects: &mut Vec<Effect>) {
        match self.doing {
            Doing::PxeLoad if body.is_some() => self.start_ipxe(now, effects),
            Doing::Script => self.run_script(now, body.as_deref(), effects),
            Doing::AnswerFile => self.read_answers(now, body, effects),
            // Without keys the installed system has a password only; the install goes on.
            Doing::Keys => self.enter(now, Doing::CancelWindow, self.config.timings.cancel_window),
            _ => self.next_entry(now, effects),
        }
    }

    pub(super) fn run_script(&mut self, now: Time, body: Option<&[u8]>, effects: &mut Vec<Effect>) {
        let Some(lease) = self.lease.clone() else { return self.next_entry(now, effects) };
        let script = match self.script.take() {
            Some(mut script) => {
                script.fetched(body);
                Some(script)
            }
            None => {
                let platform = if self.config.firmware == Firmware::Bios { "pcbios" } else { "efi" };
                let mut script = Ipxe::new(
                    self.config.boot_mac,
                    [
                        ("ip", lease.ip.to_string()),
                        ("next-server", lease.next_server.to_string()),
                        ("filename", lease.file.clone().unwrap_or_default()),
                        ("platform", platform.to_owned()),
                        ("buildarch", "x86_64".to_owned()),
                    ],
                );
                body.is_some_and(|body| script.start(body)).then_some(script)
            }
        };
        match script {
            Some(script) => self.resume_script(now, script, effects),
            None => {
                self.console = "the boot script cannot be read".into();
                self.next_entry(now, effects);
            }
        }
    }

    pub(super) fn resume_script(&mut self, now: Time, mut script: Ipxe, effects: &mut Vec<Effect>) {
        let base = self.lease.as_ref().and_then(|lease| lease.file.clone());
        let sanboot_works = self.bootable() && self.config.firmware == Firmware::Bios;
        match script.run(sanboot_works) {
            Turn::Fetch(url) => {
                let url = absolute(&url, base.as_deref());
                self.ask_file(now, Doing::Script, &url, effects);
                self.script = Some(script);
            }
            Turn::Sleep => {
                self.enter(now, Doing::ScriptSleep, self.config.timings.retry);
                self.script = Some(script);
            }
            Turn::Kernel { args, .. } => self.start_kernel(now, &args),
            Turn::Local => self.boot_disk(now),
            // UEFI firmware goes on after a boot entry that failed; after one that succeeded OVMF shows its menu.
            Turn::Exit if self.config.firmware != Firmware::Bios => {
                self.console = "the firmware shows its menu, for iPXE left without an error".into();
                self.rest(Doing::Hung);
            }
            Turn::Exit => self.next_entry(now, effects),
            Turn::Reboot => self.start(now),
            Turn::PowerOff => self.cut(),
            Turn::Failed(why) => {
                self.console = why;
                self.next_entry(now, effects);
            }
        }
    }
}

/// Resolves a script's URL against the one the boot script came from, as iPXE does.
fn absolute(url: &str, base: Option<&str>) -> String {
    let Some(base) = base.filter(|_| !url.contains("://")) else { return url.to_owned() };
    let host_end = base.find("://").map(|at| base[at + 3..].find('/').map_or(base.len(), |slash| at + 3 + slash));
    match host_end {
        Some(end) if url.starts_with('/') => format!("{}{url}", &base[..end]),
        Some(end) => format!("{}/{url}", &base[..base.rfind('/').unwrap_or(end).max(end)]),
        None => url.to_owned(),
    }
}
