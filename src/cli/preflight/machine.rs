//! What this machine is like: read from `/proc`, `ip` and `nft`; what cannot be read is simply not known.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::drive::process::Run;

/// Everything that checks are made of.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Effective user, and capabilities as a bit set (capabilities(7)).
    pub user: u32,
    /// `CapEff`.
    pub capabilities: u64,
    /// Ports from here on need no capability.
    pub unprivileged: u16,
    /// Interfaces; `None` when `ip` cannot say.
    pub links: Option<Vec<Link>>,
    /// Routes, as `ip` says.
    pub routes: Vec<Route>,
    pub sockets: Vec<Socket>,
    /// Who holds a socket, by inode: program and process number.
    pub holders: BTreeMap<u64, (String, u32)>,
    pub ruleset: Option<Value>,
    /// Whether the clock is synchronised, where systemd knows.
    pub synchronized: Option<bool>,
}

/// An interface, as `ip -json address` has it.
#[derive(Clone, Debug, Deserialize)]
pub struct Link {
    /// Its name.
    #[serde(rename = "ifname")]
    pub name: String,
    /// `UP`, `LOWER_UP`, `LOOPBACK`, …
    #[serde(default)]
    pub flags: Vec<String>,
    #[serde(default, rename = "addr_info")]
    addresses: Vec<Address>,
}

#[derive(Clone, Debug, Deserialize)]
struct Address {
    #[serde(default)]
    family: String,
    #[serde(default)]
    local: String,
    #[serde(default)]
    prefixlen: u8,
}

impl Link {
    /// Its IPv4 addresses with their prefixes.
    pub fn addresses(&self) -> impl Iterator<Item = ipnet::Ipv4Net> + '_ {
        let inet = self.addresses.iter().filter(|address| address.family == "inet");
        inet.filter_map(|address| ipnet::Ipv4Net::new(address.local.parse().ok()?, address.prefixlen).ok())
    }

    /// Whether it has a flag.
    pub fn is(&self, flag: &str) -> bool {
        self.flags.iter().any(|known| known == flag)
    }
}

/// A route, as `ip -json route` has it.
#[derive(Clone, Debug, Deserialize)]
pub struct Route {
    /// `default`, an address, or a network.
    pub dst: String,
    /// The interface.
    #[serde(default)]
    pub dev: String,
}

/// A bound socket, as `/proc/net/udp` and its relatives have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// `UDP` or `TCP`.
    pub protocol: &'static str,
    /// Where; `None` for an IPv6 socket, which usually takes IPv4 as well.
    pub address: Option<Ipv4Addr>,
    pub port: u16,
    /// What `/proc/<pid>/fd` calls it.
    pub inode: u64,
}

impl Machine {
    /// Looks at all of it.
    pub async fn read() -> Machine {
        let status = text("/proc/self/status");
        let sockets = [("UDP", "udp"), ("UDP", "udp6"), ("TCP", "tcp"), ("TCP", "tcp6")];
        let sockets = sockets.iter().flat_map(|(protocol, file)| bound(protocol, &text(&format!("/proc/net/{file}"))));
        Machine {
            user: field(&status, "Uid:").and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0),
            capabilities: field(&status, "CapEff:").and_then(|set| u64::from_str_radix(set, 16).ok()).unwrap_or(0),
            unprivileged: text("/proc/sys/net/ipv4/ip_unprivileged_port_start").trim().parse().unwrap_or(1024),
            links: asked("ip", &["-json", "address"]).await.and_then(|said| serde_json::from_str(&said).ok()),
            routes: asked("ip", &["-json", "route"])
                .await
                .and_then(|said| serde_json::from_str(&said).ok())
                .unwrap_or_default(),
            sockets: sockets.collect(),
            holders: holders(),
            ruleset: asked("nft", &["-j", "list", "ruleset"]).await.and_then(|said| serde_json::from_str(&said).ok()),
            synchronized: asked("timedatectl", &["show", "-p", "NTPSynchronized", "--value"])
                .await
                .map(|said| said.trim() == "yes"),
        }
    }

    /// Whether it has a capability, by number.
    pub fn can(&self, capability: u32) -> bool {
        self.capabilities >> capability & 1 == 1
    }

    /// The interface that has the address.
    pub fn holds(&self, address: Ipv4Addr) -> Option<&Link> {
        self.links.iter().flatten().find(|link| link.addresses().any(|net| net.addr() == address))
    }
}

/// What a program says; nothing when it is missing, fails or takes long.
async fn asked(program: &str, args: &[&str]) -> Option<String> {
    let run = Run { output_limit: 8 << 20, ..Run::new(program) };
    let output = run.args(args).time_limit(Duration::from_secs(5)).output().await.ok()?;
    (output.success() && !output.truncated).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Reads `/proc/net/udp` (proc(5)): the address is hexadecimal in the machine's byte order, the port is not. Of TCP only
/// what listens (state 0A).
pub fn bound(protocol: &'static str, table: &str) -> Vec<Socket> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = words.get(1)?.split_once(':')?;
        if protocol == "TCP" && *words.get(3)? != "0A" {
            return None;
        }
        let address = match address.len() {
            8 => Some(Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes())),
            _ => None,
        };
        let (port, inode) = (u16::from_str_radix(port, 16).ok()?, words.get(9)?.parse().ok()?);
        Some(Socket { protocol, address, port, inode })
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// Every process whose descriptors we may see, by the sockets it has.
fn holders() -> BTreeMap<u64, (String, u32)> {
    let mut found = BTreeMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(number) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let mut sockets = descriptors.filter_map(|entry| inode(fs::read_link(entry.path()).ok()?.to_str()?)).peekable();
        if sockets.peek().is_some() {
            let name = text(&format!("/proc/{number}/comm")).trim().to_owned();
            found.extend(sockets.map(|inode| (inode, (name.clone(), number))));
        }
    }
    found
}

/// `socket:[4711]`
fn inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_read_as_the_kernel_writes_them() {
        let header =
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
        let local = format!("{:08X}", u32::from_ne_bytes([127, 0, 0, 1]));
        let row = |address: &str, state: &str, inode: u32| {
            format!(
                "  9: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 2 0 0\n"
            )
        };
        let udp = format!(
            "{header}{}{}garbage\n",
            row(&format!("{local}:0043"), "07", 4711),
            row("00000000:0045", "07", 4712)
        );
        let found = bound("UDP", &udp);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].address, found[0].port, found[0].inode), (Some(Ipv4Addr::LOCALHOST), 67, 4711));
        assert_eq!((found[1].address, found[1].port), (Some(Ipv4Addr::UNSPECIFIED), 69));
        let tcp = format!("{header}{}{}", row("00000000:270F", "0A", 1), row("00000000:2710", "01", 2));
        assert_eq!(bound("TCP", &tcp).iter().map(|socket| socket.port).collect::<Vec<_>>(), [9999], "only listeners");
        let six = format!("{header}{}", row(&format!("{}:0043", "0".repeat(32)), "07", 5));
        assert_eq!(bound("UDP", &six)[0].address, None);
        assert_eq!((inode("socket:[12]"), inode("pipe:[12]")), (Some(12), None));
    }
}
