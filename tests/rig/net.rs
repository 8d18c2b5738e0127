//! Worlds, settings, packets and a small stand-in for the daemon's loop, for the tests of network boot and its benchmark.
#![allow(dead_code, reason = "the benchmark uses a part of it")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rackwright::model::*;
use rackwright::plan::lease;
use rackwright::serve::{Context, Inbox};
use rackwright::settings::{self, DhcpMode, Settings};
use tokio::sync::watch;

pub const NOW: Time = Time::from_secs(1_800_000_000);

pub fn now() -> Time {
    NOW
}

pub fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

pub fn mac(n: u64) -> Mac {
    let octets = (0x5254_0000_0000_u64 + n).to_be_bytes();
    Mac(octets[2..].try_into().unwrap())
}

/// `10.255.255.0/24`, ten dynamic addresses from .100.
pub fn subnet() -> Subnet {
    Subnet {
        net: "10.255.255.0/24".parse().unwrap(),
        first: ip("10.255.255.100"),
        last: ip("10.255.255.109"),
        gateway: Some(ip("10.255.255.254")),
        dns: vec![ip("10.255.255.1")],
        domain: Some("boot.example.net".into()),
        ntp: vec![ip("10.255.255.1")],
        lease_time: Duration::from_secs(3600),
    }
}

pub fn policy(subnets: Vec<Subnet>) -> Policy {
    let mut policy = Policy::default();
    policy.site.address = ip("10.255.255.1");
    policy.site.subnets = subnets;
    policy.site.leases_are_ours = true;
    policy
}

pub fn host_id(name: &str) -> HostId {
    HostId::new(&ClusterName::new("cluster1"), name)
}

/// A host with a BMC at `mac(2n)` that network-boots from `mac(2n + 1)`, at generation 1.
pub fn host(n: u64) -> HostSpec {
    let file = |name: &str, body: &str, claims| BootFile { name: name.into(), body: body.into(), claims };
    HostSpec {
        id: host_id(&format!("hv{n}")),
        bmc_mac: mac(2 * n),
        fqdn: format!("hv{n}.example.net"),
        generation: Generation(1),
        state: Lifecycle::Present,
        boot_mac: Some(mac(2 * n + 1)),
        address: None,
        installer: "pvc".into(),
        claim: ClaimBy::AnswerFile,
        spec: Digest::new("spec"),
        files: vec![
            file("boot.ipxe", "#!ipxe\n# INSTALLER\n", false),
            file("mac-{mac}.ipxe", "#!ipxe\n# INSTALLER arguments\n", false),
            file("mac-{mac}.preseed", "INSTALLER uri=http://x/checkin/host/RACKWRIGHT-TOKEN\n", true),
        ],
        images: Arc::from([]),
        local_boot: LocalBoot::Auto,
        disks: vec!["/dev/sda".into()],
        bmc: BmcSpec::new(Protocol::Redfish, "admin", Secret::new("planted-secret")),
        prepare: Arc::default(),
        blocked: Vec::new(),
        origin: ("group_vars/cluster1/bootstrap.yml".into(), 1),
    }
}

/// A cluster of which nothing is asked but that its hosts be installed.
pub fn cluster() -> ClusterSpec {
    ClusterSpec {
        name: ClusterName::new("cluster1"),
        domain: "example.net".into(),
        tasks: Vec::new(),
        run: 1,
        on_complete: OnComplete::None,
        retries: 3,
    }
}

/// Announced and armed for a generation.
pub fn armed(generation: u32) -> HostFacts {
    let generation = Generation(generation);
    HostFacts {
        intent: Some(generation),
        armed: Some(Armed { generation, tries: Tries { at: NOW, times: 1 } }),
        ..HostFacts::default()
    }
}

pub fn installed(generation: u32) -> HostFacts {
    let token = Token::from_random([1; 16]).id();
    let done = Installed { generation: Generation(generation), token, spec: Digest::new("spec"), at: NOW };
    HostFacts { installed: Some(done), ..armed(generation) }
}

pub fn world(hosts: Vec<(HostSpec, HostFacts)>) -> World {
    let mut world = World::new(Arc::new(policy(vec![subnet()])));
    world.consent = Consent::Open;
    let facts = hosts.iter().map(|(spec, facts)| (spec.id.clone(), Arc::new(facts.clone())));
    world.hosts = Arc::new(facts.collect());
    let seen = hosts.iter().filter_map(|(spec, facts)| Some((facts.boot_mac?, spec.id.clone())));
    world.boot_macs = Arc::new(seen.collect());
    world.desired = Some(Arc::new(Desired::new(None, [], hosts.into_iter().map(|(spec, _)| spec), Vec::new())));
    world
}

pub fn lease_to(world: &mut World, mac: Mac, ip: Ipv4Addr, until: Time) {
    Arc::make_mut(&mut world.leases).insert(Lease { ip, mac: Some(mac), until, by: LeaseOrigin::Own });
}

/// What the loop does with the events of network boot.
pub fn fold(world: &mut World, event: &Event, now: Time) -> Verdict {
    match event {
        Event::Leased { mac, ip, until, by: LeaseOrigin::Own } => {
            if !lease::may_hold(world, *mac, *ip, now) {
                return Verdict::Refused("held by another".into());
            }
            lease_to(world, *mac, *ip, *until);
        }
        Event::RangeFull { subnet, full: true } => {
            Arc::make_mut(&mut world.full_ranges).entry(*subnet).or_insert(now);
        }
        Event::RangeFull { subnet, full: false } => {
            Arc::make_mut(&mut world.full_ranges).remove(subnet);
        }
        Event::Released { ip, .. } => Arc::make_mut(&mut world.leases).remove(*ip),
        Event::Declined { ip, until, .. } => {
            let aside = Lease { ip: *ip, mac: None, until: *until, by: LeaseOrigin::Own };
            Arc::make_mut(&mut world.leases).insert(aside);
        }
        _ => {}
    }
    Verdict::Ok
}

pub fn settings(listen: Ipv4Addr, root: Option<PathBuf>) -> Settings {
    Settings {
        repository: settings::Repository {
            url: "/srv/git/infra.git".into(),
            branch: "main".into(),
            status_branch: "rackwright/status".into(),
            poll_interval: Duration::from_secs(30),
            ssh_key: None,
            known_hosts: None,
            webhook_secret_file: None,
            allowed_signers: None,
            signing_key: None,
        },
        state_dir: "/nonexistent".into(),
        network: settings::Network {
            address: ip("10.255.255.1"),
            listen,
            interface: None,
            dhcp_mode: DhcpMode::Full,
            dhcp_port: 0,
            subnets: vec![subnet()],
            tftp_port: 0,
            tftp_root: root,
            ipxe: "/nonexistent".into(),
            http_port: 9999,
        },
        deploy: settings::Deploy { username: "deploy".into(), ssh_key: None, ssh_port: 22 },
        debian: settings::Debian { mirror: "http://mirror.example.net/debian".into(), release: "bookworm".into() },
        ansible: settings::Ansible {
            playbook: "ansible-playbook".into(),
            vault_password_file: None,
            vault_ids: Vec::new(),
            timeout: Duration::from_secs(7200),
        },
        bmc: settings::Bmc { tls: settings::BmcTls::Pin, concurrency: 32, port: 443, ipmi_port: 623 },
        limits: settings::Limits {
            concurrent_installs: 64,
            boot_timeout: Duration::from_secs(600),
            install_timeout: Duration::from_secs(3600),
            first_boot_timeout: Duration::from_secs(900),
            publish_debounce: Duration::from_secs(1),
            backoff: Duration::from_secs(5),
        },
        secrets: settings::SecretSources::default(),
        notifications: Vec::new(),
        commit_status: None,
    }
}

/// A stand-in for the daemon's loop: folds events into the World, remembers them, answers as told.
pub struct Loop {
    pub ctx: Context,
    pub seen: Arc<Mutex<Vec<Event>>>,
    /// What claims are answered with.
    pub claims: Arc<Mutex<Verdict>>,
    _task: tokio::task::JoinSet<()>,
}

impl Loop {
    pub fn start(mut world: World, settings: Settings) -> Loop {
        let (inbox, mut signals) = Inbox::new();
        let (sender, view) = watch::channel(Arc::new(world.clone()));
        let (seen, claims) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Verdict::Ok)));
        let (log, verdict) = (seen.clone(), claims.clone());
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move {
            while let Some(signal) = signals.recv().await {
                let folded = fold(&mut world, &signal.event, NOW);
                let claimed = matches!(signal.event, Event::Claimed { .. });
                let verdict = if claimed { verdict.lock().unwrap().clone() } else { folded };
                log.lock().unwrap().push(signal.event);
                let _ = sender.send(Arc::new(world.clone()));
                if let Some(ack) = signal.ack {
                    let _ = ack.send(verdict);
                }
            }
        });
        let ctx = Context::new(view, inbox, now, Arc::new(settings));
        Loop { ctx, seen, claims, _task: task }
    }

    pub fn events(&self) -> Vec<Event> {
        self.seen.lock().unwrap().clone()
    }
}

/// A context whose facts nobody takes until the test does: a daemon busy with its disk.
pub fn stuck(
    world: World,
    settings: Settings,
) -> (Context, tokio::sync::mpsc::Receiver<rackwright::serve::Signal>, watch::Sender<Arc<World>>) {
    let (inbox, signals) = Inbox::new();
    let (sender, view) = watch::channel(Arc::new(world));
    (Context::new(view, inbox, now, Arc::new(settings)), signals, sender)
}

/// A UDP client on loopback that never waits for ever.
pub struct Client(pub tokio::net::UdpSocket);

impl Client {
    pub async fn at(address: &str) -> Client {
        Client(tokio::net::UdpSocket::bind(address).await.unwrap())
    }

    pub async fn send(&self, bytes: &[u8], to: SocketAddr) {
        self.0.send_to(bytes, to).await.unwrap();
    }

    pub async fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 65536];
        let heard = tokio::time::timeout(Duration::from_secs(10), self.0.recv_from(&mut buffer));
        let (length, from) = heard.await.expect("no answer").unwrap();
        buffer.truncate(length);
        (buffer, from)
    }
}

/// A DHCP packet by hand.
#[derive(Clone, Debug)]
pub struct Raw {
    pub flags: u16,
    pub ciaddr: Ipv4Addr,
    pub giaddr: Ipv4Addr,
    pub mac: Mac,
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Raw {
    pub fn new(kind: u8, mac: Mac) -> Raw {
        let zero = Ipv4Addr::UNSPECIFIED;
        Raw { flags: 0, ciaddr: zero, giaddr: zero, mac, options: vec![(53, vec![kind])] }
    }

    pub fn relay(mut self, giaddr: &str) -> Raw {
        self.giaddr = ip(giaddr);
        self
    }

    pub fn ciaddr(mut self, ciaddr: Ipv4Addr) -> Raw {
        self.ciaddr = ciaddr;
        self
    }

    pub fn with(mut self, code: u8, data: impl AsRef<[u8]>) -> Raw {
        self.options.push((code, data.as_ref().to_vec()));
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef, 0, 4];
        out.extend(self.flags.to_be_bytes());
        out.extend(self.ciaddr.octets());
        out.extend([0; 8]);
        out.extend(self.giaddr.octets());
        out.extend(self.mac.0);
        out.resize(236, 0);
        out.extend([99, 130, 83, 99]);
        for (code, data) in &self.options {
            out.push(*code);
            out.push(data.len() as u8);
            out.extend(data);
        }
        out.push(255);
        out
    }
}
