//! A real `sshd` on a loopback port, with keys of its own and a directory for everything that its sessions leave behind.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rackwright::drive::ssh::Target;
use rackwright::model::{ClusterName, HostId};
use tempfile::TempDir;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server, on three addresses, so that it can be three hosts. Its sessions have `tmp` as their directory for temporary files and `bin` before the rest of their path.
pub struct Sshd {
    pub dir: TempDir,
    pub port: u16,
    child: Option<Child>,
}

impl Sshd {
    /// Starts one; `None`, with a word on the output, where there is no `sshd`.
    pub fn start() -> Option<Sshd> {
        let found = ["/usr/sbin/sshd"].iter().all(|path| Path::new(path).exists());
        if !found {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "sshd is missing (Debian package openssh-server)");
            println!("SKIPPED no sshd (Debian package openssh-server)");
            return None;
        }
        let dir = TempDir::new().unwrap();
        for name in ["tmp", "bin"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let mut sshd = Sshd { dir, port: 0, child: None };
        sshd.keygen("user", "ed25519", "");
        fs::copy(sshd.path("user.pub"), sshd.path("authorized_keys")).unwrap();
        sshd.keygen("host", "ed25519", "");
        sshd.restart("");
        Some(sshd)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a key pair.
    pub fn keygen(&self, name: &str, kind: &str, passphrase: &str) -> PathBuf {
        let path = self.path(name);
        let _ = fs::remove_file(&path);
        let args = ["-q", "-t", kind, "-N", passphrase, "-C", "", "-f"];
        assert!(Command::new("ssh-keygen").args(args).arg(&path).status().unwrap().success());
        path
    }

    /// A public key: algorithm and key.
    pub fn public(&self, name: &str) -> String {
        let text = fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// (Re)starts it, with more lines of configuration.
    pub fn restart(&mut self, more: &str) {
        self.stop();
        if is_root() {
            fs::create_dir_all("/run/sshd").unwrap(); // where it locks itself up before login
        }
        let dir = self.dir.path().display().to_string();
        let deadline = Instant::now() + PATIENCE;
        // Somebody else may take the port between our look and its start.
        while self.child.is_none() {
            assert!(Instant::now() < deadline, "sshd does not start");
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let config = format!(
                "{more}\nListenAddress 127.0.0.1:{port}\nListenAddress 127.0.0.2:{port}\nListenAddress 127.0.0.3:{port}\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/authorized_keys\n\
                 PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\n\
                 Subsystem sftp internal-sftp\nMaxStartups 100\nLogLevel ERROR\n\
                 SetEnv TMPDIR={dir}/tmp PATH={dir}/bin:/usr/local/bin:/usr/bin:/bin\n"
            );
            fs::write(self.path("sshd_config"), config).unwrap();
            let log = fs::File::create(self.path("sshd.log")).unwrap();
            let mut child = Command::new("/usr/sbin/sshd")
                .args(["-D", "-e", "-f"])
                .arg(self.path("sshd_config"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            let up = loop {
                if child.try_wait().unwrap().is_some() {
                    break false;
                }
                if TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok() {
                    break true;
                }
                assert!(Instant::now() < deadline, "sshd: {}", fs::read_to_string(self.path("sshd.log")).unwrap());
                std::thread::yield_now();
            };
            if up {
                (self.child, self.port) = (Some(child), port);
            }
        }
    }

    /// Ends it; its sessions live on.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills the processes that serve its connections, without a word to anybody.
    pub fn cut(&self) {
        let listener = self.child.as_ref().unwrap().id();
        for (pid, parent) in processes() {
            if parent == listener {
                let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
            }
        }
    }

    /// How to reach it, with its host key known.
    pub fn target(&self) -> Target {
        Target { host_key: Some(self.public("host")), ..self.stranger() }
    }

    /// How to reach it for the first time.
    pub fn stranger(&self) -> Target {
        Target {
            host: HostId::new(&ClusterName::new("cluster1"), "hv1"),
            address: Ipv4Addr::LOCALHOST.into(),
            port: self.port,
            user: user(),
            key_file: self.path("user"),
            host_key: None,
        }
    }

    /// What its sessions have left behind.
    pub fn left_behind(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("tmp")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    /// Puts a program into the path of its sessions.
    pub fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whose sessions they are.
pub fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn is_root() -> bool {
    user() == "root"
}

/// All processes with their parents.
fn processes() -> Vec<(u32, u32)> {
    let stat = |name: &str| fs::read_to_string(format!("/proc/{name}/stat")).ok();
    let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    entries
        .filter_map(|name| {
            let pid = name.parse().ok()?;
            let stat = stat(&name)?;
            let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect()
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "never: {what}");
}
