//! The stage of a demo: a directory, a loopback network, a bare repository that is pushed to with git itself, and a
//! settings file. Also used by the end-to-end tests, which start the real program on it.
#![allow(missing_docs, reason = "the names say the rest")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::drive::process::{Output, Run};

/// Ports of a stage, all above 1023. Every stage has addresses of its own, so they never clash.
pub mod port {
    /// Held as long as the stage stands, so that no other stage takes the same network.
    pub const CLAIM: u16 = 6766;
    pub const DHCP: u16 = 6767;
    pub const TFTP: u16 = 6969;
    pub const HTTP: u16 = 9999;
    pub const BMC: u16 = 8443;
    /// Where hooks and notifications are sent.
    pub const SINK: u16 = 9080;
}

/// Takes a network, unless another stage holds it or something is served there.
fn claim(net: u8) -> Option<(u8, TcpListener)> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::new(127, net, 0, 1), port));
    let claim = bind(port::CLAIM).ok()?;
    bind(port::HTTP).is_ok().then_some((net, claim))
}

#[derive(Clone, Debug)]
pub struct Stage {
    /// Everything of it lives here.
    pub dir: PathBuf,
    /// Second octet of its network, `127.<net>.0.0/16`.
    net: u8,
    /// Only to be held: two stages may be set up at once, long before anything else is bound there.
    _claim: Option<Arc<TcpListener>>,
}

impl Stage {
    /// Sets a stage up in `dir`, on the first loopback network from `first` on that nobody uses.
    pub async fn new(dir: &Path, first: u8) -> anyhow::Result<Stage> {
        let candidates = (0..100u8).map(|step| 20 + (first % 100 + step) % 100);
        let claimed = candidates.into_iter().find_map(claim);
        let (net, claim) = claimed.context("no free loopback network in 127.0.0.0/8")?;
        let stage = Stage::bare(dir, net, Some(Arc::new(claim))).await?;
        stage.placeholders()?;
        Ok(stage)
    }

    /// A stage in a network namespace of its own, where nobody else can be: its addresses are not loopback ones, and
    /// its static files are the caller's.
    pub async fn alone(dir: &Path) -> anyhow::Result<Stage> {
        Stage::bare(dir, 0, None).await
    }

    async fn bare(dir: &Path, net: u8, claim: Option<Arc<TcpListener>>) -> anyhow::Result<Stage> {
        let dir = dir.canonicalize().with_context(|| dir.display().to_string())?;
        let stage = Stage { dir, net, _claim: claim };
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDemoDemoDemoDemoDemoDemoDemoDemoDemoDemoDemo demo@example.net\n";
        std::fs::write(stage.dir.join("id_ed25519.pub"), key)?;
        stage.git(&stage.dir, &["init", "--quiet", "--bare", "-b", "main", "infra.git"]).await?;
        stage.git(&stage.dir, &["clone", "--quiet", "infra.git", "work"]).await?;
        Ok(stage)
    }

    /// An address of the stage's network.
    pub fn address(&self, third: u8, fourth: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.net, third, fourth)
    }

    pub fn server(&self) -> Ipv4Addr {
        self.address(0, 1)
    }

    /// The address that machines' DHCP requests are relayed from.
    pub fn relay(&self) -> Ipv4Addr {
        self.address(0, 2)
    }

    /// Where hooks and notifications arrive.
    pub fn sink(&self) -> Ipv4Addr {
        self.address(0, 3)
    }

    /// The watched repository, bare.
    pub fn repository(&self) -> PathBuf {
        self.dir.join("infra.git")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// The clone in which an administrator would work.
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    fn placeholders(&self) -> anyhow::Result<()> {
        let root = self.dir.join("tftp");
        std::fs::create_dir_all(&root)?;
        for name in ["undionly.kpxe", "ipxe.efi", "vmlinuz", "initrd.img", "filesystem.squashfs"] {
            std::fs::write(root.join(name), format!("stands for {name} in the demo\n"))?;
        }
        Ok(())
    }

    /// Writes the settings file; `extra` is appended as it is. Times are short: simulated machines are quick.
    pub fn write_settings(&self, extra: &str) -> anyhow::Result<PathBuf> {
        let path = self.dir.join("rackwright.yaml");
        let (server, sink, net) = (self.server(), self.sink(), self.address(0, 0));
        let (first, last) = (self.address(1, 0), self.address(254, 255));
        let text = format!(
            "repository:
  url: {repository}
  poll_interval: 2s
state_dir: {state}
network:
  address: {server}
  dhcp:
    port: {dhcp}
    subnets:
      - {{ subnet: {net}/16, range: {first}-{last}, lease_time: 10m }}
  tftp: {{ port: {tftp}, root: {root} }}
  http: {{ port: {http} }}
deploy: {{ username: deploy, ssh_key: {key} }}
debian: {{ mirror: \"http://mirror.example.net/debian\", release: bookworm }}
bmc: {{ tls: pin, port: {bmc} }}
limits:
  boot_timeout: 8s
  install_timeout: 8s
  first_boot_timeout: 6s
  publish_debounce: 200ms
  backoff: 300ms
notifications: {{ uri: \"http://{sink}:{sink_port}/notify\", action: post }}
{extra}",
            repository = self.repository().display(),
            state = self.state_dir().display(),
            root = self.dir.join("tftp").display(),
            key = self.dir.join("id_ed25519").display(),
            dhcp = port::DHCP,
            tftp = port::TFTP,
            http = port::HTTP,
            bmc = port::BMC,
            sink_port = port::SINK,
        );
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Replaces the repository's contents by `files`, commits and pushes: what an administrator's merge does.
    pub async fn push(&self, files: &BTreeMap<String, String>, subject: &str) -> anyhow::Result<()> {
        let work = self.work();
        for entry in std::fs::read_dir(&work)? {
            let path = entry?.path();
            if path.file_name() == Some(OsStr::new(".git")) {
                continue;
            }
            if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
        }
        for (name, text) in files {
            let path = work.join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(&work))?;
            std::fs::write(path, text)?;
        }
        self.git(&work, &["add", "--all"]).await?;
        self.git(&work, &["commit", "--quiet", "--allow-empty", "-m", subject]).await?;
        self.git(&work, &["push", "--quiet", "origin", "HEAD:main"]).await?;
        Ok(())
    }

    /// Runs git as somebody, without anybody's configuration. Gives what it printed.
    pub async fn git(&self, dir: &Path, args: &[&str]) -> anyhow::Result<String> {
        let run = Run::new("git")
            .args(["-c", "user.name=Ada Admin", "-c", "user.email=ada@example.net", "-c", "init.defaultBranch=main"])
            .args(args)
            .cwd(dir)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0");
        let output: Output = run.output().await?;
        if !output.success() {
            bail!("git {}: {}", args.join(" "), output.stderr.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
