//! A running HTTP server on loopback, a stand-in for the daemon's loop, and a client that sends exact bytes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rackwright::model::{Event, NoticeKind, Policy, Receiver, Secret, Time, Verdict, World};
use rackwright::plan::reduce;
use rackwright::serve::counters::Counters;
use rackwright::serve::{Context, Inbox, http};
use rackwright::settings::{
    Ansible, Bmc, BmcTls, Debian, Deploy, DhcpMode, Limits, Network, Notifications, Repository, SecretSources,
    Settings, Uri,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What time it is in these tests.
pub const NOW: Time = Time::from_secs(1_800_000_000);

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How the stand-in for the daemon's loop answers.
pub enum Judge {
    /// Every fact in the same way; the World stays as the test made it.
    Always(Verdict),
    /// As the daemon does: `plan::reduce` folds the fact into the World and says what its bringer is told.
    Reduce,
}

/// A server and the other ends of its context.
pub struct Rig {
    pub address: SocketAddr,
    pub world: watch::Sender<Arc<World>>,
    pub told: Arc<Mutex<Vec<Event>>>,
    pub judge: Arc<Mutex<Judge>>,
    pub ctx: Context,
    _tasks: JoinSet<()>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub code: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn message(&self) -> String {
        self.json()["message"].as_str().expect("a message").to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

impl Rig {
    pub async fn start() -> Rig {
        Rig::with(settings(), World::new(Arc::new(Policy::default()))).await
    }

    pub async fn with(settings: Settings, world: World) -> Rig {
        Rig::counting(settings, world, Vec::new()).await
    }

    pub async fn counting(settings: Settings, world: World, counters: Vec<Counters>) -> Rig {
        let (sender, view) = watch::channel(Arc::new(world));
        let (inbox, mut signals) = Inbox::new();
        let ctx = Context::new(view, inbox, || NOW, Arc::new(settings));
        let told = Arc::new(Mutex::new(Vec::new()));
        let judge = Arc::new(Mutex::new(Judge::Always(Verdict::Ok)));
        let mut tasks = JoinSet::new();
        let (list, answer, worlds) = (told.clone(), judge.clone(), sender.clone());
        tasks.spawn(async move {
            while let Some(signal) = signals.recv().await {
                let verdict = match &*answer.lock().unwrap() {
                    Judge::Always(verdict) => verdict.clone(),
                    Judge::Reduce => {
                        let mut world = World::clone(&worlds.borrow());
                        let verdict = reduce(&mut world, &signal.event, NOW);
                        worlds.send_replace(Arc::new(world));
                        verdict
                    }
                };
                list.lock().unwrap().push(signal.event);
                if let Some(ack) = signal.ack {
                    let _ = ack.send(verdict);
                }
            }
        });
        let server = http::bind(&ctx).await.expect("bind").with_counters(counters);
        let address = server.local_addr();
        tasks.spawn(server.run(ctx.clone()));
        Rig { address, world: sender, told, judge, ctx, _tasks: tasks }
    }

    pub fn events(&self) -> Vec<Event> {
        self.told.lock().unwrap().clone()
    }

    pub fn refuse(&self, reason: &str) {
        *self.judge.lock().unwrap() = Judge::Always(Verdict::Refused(reason.into()));
    }

    /// A server whose facts change its World, as they do in the daemon.
    pub async fn living(settings: Settings, world: World) -> Rig {
        let rig = Rig::with(settings, world).await;
        *rig.judge.lock().unwrap() = Judge::Reduce;
        rig
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], b"").await
    }

    pub async fn post(&self, path: &str, body: &[u8]) -> Reply {
        self.ask("POST", path, &[("Content-Type", "application/json")], body).await
    }

    /// Sends one request as written and reads the answer to the end of the connection.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.ask_from(Ipv4Addr::LOCALHOST, method, path, headers, body).await
    }

    /// The same from another of loopback's addresses.
    pub async fn ask_from(
        &self,
        source: Ipv4Addr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: rack.example.net\r\nConnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if method == "POST" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        let asked = async {
            let mut stream = connect(source, self.address).await;
            stream.write_all(head.as_bytes()).await.expect("send");
            stream.write_all(body).await.expect("send");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.expect("read");
            answer
        };
        parse(&tokio::time::timeout(PATIENCE, asked).await.expect("an answer in time"))
    }
}

async fn connect(source: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.bind(SocketAddr::from((source, 0))).expect("an address of loopback");
    socket.connect(to).await.expect("connect")
}

/// Splits an answer; chunked bodies are put together.
fn parse(answer: &[u8]) -> Reply {
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(answer[..split].to_vec()).expect("an ASCII head");
    let code = head[9..12].parse().expect("a code");
    let mut reply = Reply { code, head, body: answer[split + 4..].to_vec() };
    if reply.header("transfer-encoding") == Some("chunked") {
        let (mut rest, mut body) = (&reply.body[..], Vec::new());
        while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).expect("a size");
            body.extend_from_slice(&rest[end + 2..end + 2 + size]);
            rest = &rest[end + 4 + size..];
        }
        reply.body = body;
    }
    reply
}

/// Settings of a server on a free loopback port, with DHCP served by us.
pub fn settings() -> Settings {
    let minute = Duration::from_secs(60);
    Settings {
        repository: Repository {
            url: "/srv/git/local.git".into(),
            branch: "master".into(),
            status_branch: "rackwright/status".into(),
            poll_interval: minute,
            ssh_key: None,
            known_hosts: None,
            webhook_secret_file: None,
            allowed_signers: None,
            signing_key: None,
        },
        state_dir: PathBuf::from("/var/lib/rackwright"),
        network: Network {
            address: Ipv4Addr::LOCALHOST,
            listen: Ipv4Addr::LOCALHOST,
            interface: None,
            dhcp_mode: DhcpMode::Full,
            dhcp_port: 67,
            subnets: Vec::new(),
            tftp_port: 69,
            tftp_root: None,
            ipxe: "/nonexistent".into(),
            http_port: 0,
        },
        deploy: Deploy { username: "deploy".into(), ssh_key: None, ssh_port: 22 },
        debian: Debian { mirror: "http://mirror.example.net/debian".into(), release: "bookworm".into() },
        ansible: Ansible {
            playbook: "ansible-playbook".into(),
            vault_password_file: None,
            vault_ids: vec![],
            timeout: minute,
        },
        bmc: Bmc { tls: BmcTls::Pin, concurrency: 32, port: 443, ipmi_port: 623 },
        limits: Limits {
            concurrent_installs: 64,
            boot_timeout: minute,
            install_timeout: minute,
            first_boot_timeout: minute,
            publish_debounce: minute,
            backoff: minute,
        },
        secrets: SecretSources::default(),
        notifications: Vec::new(),
        commit_status: None,
    }
}

/// PVC's notification block.
pub fn notifications(uri: String) -> Notifications {
    let icons = [("info", "(i)"), ("begin", "(b)"), ("success", "(s)"), ("failure", "(f)"), ("completed", "(c)")];
    Notifications {
        receiver: Receiver { name: "default".into(), clusters: Default::default(), events: NoticeKind::ALL.into() },
        uri: Uri::Given(Secret::new(uri)),
        method: "POST".into(),
        icons: icons.iter().map(|(kind, icon)| (kind.to_string(), icon.to_string())).collect::<BTreeMap<_, _>>(),
        completed_triggerword: "#done".into(),
        body: serde_json::json!({ "text": "{icon} {message}", "nested": [{ "a": "{message}" }, 7], "plain": "{other}" }),
    }
}
