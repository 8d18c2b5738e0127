//! Repositories made up for tests, read by the real reader.

use std::collections::BTreeMap;
use std::sync::Arc;

use rackwright::model::{ClusterName, Desired, Finding, HostId, Mac, Protocol, Revision, Severity, Site};
use rackwright::repo::{self, Context, Entry, Tree};
use rackwright::sim::fault::Dice;

/// What a made-up repository says.
#[derive(Clone)]
pub struct Rack {
    pub clusters: Vec<Cluster>,
    pub hosts: Vec<Host>,
    broken: bool,
}

#[derive(Clone)]
pub struct Cluster {
    pub name: String,
    pub hooks: usize,
    pub power_off: bool,
    /// Whether PVC's playbook configures it.
    pub ansible: bool,
    /// Whether it has hooks on its hosts: one for each, and one for all of them together.
    pub on_hosts: bool,
    /// `cluster.run`.
    pub run: u32,
}

impl Cluster {
    /// One without Ansible, whose hooks are webhooks.
    pub fn plain(name: &str, hooks: usize, power_off: bool) -> Cluster {
        Cluster { name: name.into(), hooks, power_off, ansible: false, on_hosts: false, run: 1 }
    }
}

#[derive(Clone)]
pub struct Host {
    pub cluster: String,
    pub name: String,
    pub bmc: bool,
    pub bmc_mac: Mac,
    pub boot_mac: Mac,
    pub generation: u32,
    pub maintenance: bool,
    pub options: u32,
    pub password: String,
    pub wishes: Wishes,
    /// Whether it is left out of the repository.
    pub hidden: bool,
}

/// What else is said of a host and its BMC.
#[derive(Clone)]
pub struct Wishes {
    /// `bmc.fingerprint`.
    pub fingerprint: Option<String>,
    /// `bmc.protocol`.
    pub protocol: Protocol,
    /// `config.system_disks`, if not a path.
    pub slots: Vec<String>,
    /// `config.wipe: volumes`.
    pub wipe_volumes: bool,
    /// `bmc.bios_settings`.
    pub bios: BTreeMap<String, String>,
    /// `bmc.manager_settings`.
    pub manager: BTreeMap<String, String>,
}

impl Default for Wishes {
    fn default() -> Self {
        let (bios, manager) = Default::default();
        let (protocol, slots) = (Protocol::Redfish, Vec::new());
        Wishes { fingerprint: None, protocol, slots, wipe_volumes: false, bios, manager }
    }
}

impl Host {
    pub fn id(&self) -> HostId {
        HostId::new(&ClusterName::new(&self.cluster), &self.name)
    }
}

impl Host {
    /// Its entry in `bootstrap:`.
    fn entry(&self) -> String {
        let state = if self.maintenance { "maintenance" } else { "present" };
        let wishes = &self.wishes;
        let map = |map: &BTreeMap<String, String>| {
            let pairs: Vec<_> = map.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            format!("{{ {} }}", pairs.join(", "))
        };
        let mut bmc = vec!["username: admin".to_owned(), format!("password: {}", self.password)];
        bmc.extend(match wishes.protocol {
            Protocol::Redfish => Some("protocol: redfish".to_owned()),
            Protocol::Ipmi => Some("protocol: ipmi".to_owned()),
            Protocol::Auto | Protocol::None => None,
        });
        bmc.extend(wishes.fingerprint.as_ref().map(|pin| format!("fingerprint: \"{pin}\"")));
        bmc.extend((!wishes.bios.is_empty()).then(|| format!("bios_settings: {}", map(&wishes.bios))));
        bmc.extend((!wishes.manager.is_empty()).then(|| format!("manager_settings: {}", map(&wishes.manager))));
        let bmc = if self.bmc { bmc.join(", ") } else { "protocol: none".to_owned() };
        let slots: Vec<_> = wishes.slots.iter().map(|slot| format!("\"{slot}\"")).collect();
        let disks = if slots.is_empty() { "\"/dev/sda\"".to_owned() } else { slots.join(", ") };
        let wipe = if wishes.wipe_volumes { ", wipe: volumes" } else { "" };
        format!(
            "  \"{}\":\n    node: {{ hostname: {}, generation: {}, state: {state} }}\n    config: {{ system_disks: [{disks}], boot_mac: \"{}\", kernel_options: [\"o={}\"]{wipe} }}\n    bmc: {{ {bmc} }}\n",
            self.bmc_mac, self.name, self.generation, self.boot_mac, self.options,
        )
    }
}

impl Rack {
    pub fn of(clusters: Vec<Cluster>, hosts: Vec<Host>) -> Rack {
        Rack { clusters, hosts, broken: false }
    }

    pub fn random(dice: &mut Dice) -> Rack {
        let mut rack = Rack { clusters: Vec::new(), hosts: Vec::new(), broken: false };
        for number in 0..1 + dice.draw() % 2 {
            let name = format!("cluster{number}");
            for host in 0..1 + dice.draw() % 3 {
                let at = (number * 16 + host) as u8;
                rack.hosts.push(Host {
                    cluster: name.clone(),
                    name: format!("hv{}", number * 10 + host + 1),
                    bmc: dice.roll(200),
                    bmc_mac: Mac([0x52, 0x54, 0, 0xaa, 0, at]),
                    boot_mac: Mac([0x52, 0x54, 0, 0xbb, 0, at]),
                    generation: 1,
                    maintenance: false,
                    options: 0,
                    password: "secret".into(),
                    wishes: Wishes::default(),
                    hidden: false,
                });
            }
            let hooks = (dice.draw() % 3) as usize;
            let cluster = Cluster::plain(&name, hooks, dice.roll(128));
            rack.clusters.push(Cluster { ansible: dice.roll(140), on_hosts: dice.roll(128), ..cluster });
        }
        rack
    }

    /// One cluster of a few machines, all with a BMC.
    pub fn with_bmcs(dice: &mut Dice) -> Rack {
        let mut rack = Rack::random(dice);
        let first = rack.clusters[0].name.clone();
        rack.clusters.truncate(1);
        rack.clusters[0].hooks = rack.clusters[0].hooks.min(1);
        (rack.clusters[0].ansible, rack.clusters[0].on_hosts) = (false, false);
        rack.hosts.retain(|host| host.cluster == first);
        rack.hosts.iter_mut().for_each(|host| host.bmc = true);
        rack
    }

    /// Whether a host is left out of the repository just now.
    pub fn any_hidden(&self) -> bool {
        self.hosts.iter().any(|host| host.hidden)
    }

    pub fn has_bmc(&self, id: &HostId) -> bool {
        self.hosts.iter().any(|host| host.id() == *id && host.bmc)
    }

    pub fn host(&mut self, id: &HostId) -> &mut Host {
        self.hosts.iter_mut().find(|host| host.id() == *id).expect("a host of this rack")
    }

    /// Lets the tasks of a cluster run again.
    pub fn raise_run(&mut self, name: &ClusterName) {
        let cluster = self.clusters.iter_mut().find(|it| it.name == name.as_str());
        cluster.expect("a cluster of this rack").run += 1;
    }

    pub fn raise_generation(&mut self, id: &HostId) {
        self.host(id).generation += 1;
    }

    pub fn change_spec(&mut self, id: &HostId) {
        self.host(id).options += 1;
    }

    pub fn toggle_maintenance(&mut self, id: &HostId) {
        let host = self.host(id);
        host.maintenance = !host.maintenance;
    }

    pub fn in_maintenance(&self) -> bool {
        self.hosts.iter().any(|host| host.maintenance)
    }

    pub fn end_maintenance(&mut self) -> bool {
        let any = self.in_maintenance();
        self.hosts.iter_mut().for_each(|host| host.maintenance = false);
        any
    }

    pub fn end_hiding(&mut self) -> bool {
        let any = self.any_hidden();
        self.hosts.iter_mut().for_each(|host| host.hidden = false);
        any
    }

    pub fn break_it(&mut self) {
        self.broken = true;
    }

    /// The files of this repository.
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        let mut put = |path: String, text: String| tree.insert(path, Entry::File(Arc::from(text.into_bytes())));
        let names: Vec<_> = self.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        put("clusters.yml".into(), format!("clusters: [{}]\n", names.join(", ")));
        let mut inventory = String::new();
        for cluster in &self.clusters {
            inventory += &format!("[{}]\n", cluster.name);
            for host in self.hosts.iter().filter(|host| host.cluster == cluster.name && !host.hidden) {
                inventory += &format!("{}.example.net\n", host.name);
            }
            let dir = format!("group_vars/{}", cluster.name);
            put(format!("{dir}/base.yml"), "local_domain: example.net\n".into());
            put(format!("{dir}/pvc.yml"), "{}\n".into());
            put(format!("{dir}/bootstrap.yml"), self.bootstrap(cluster));
        }
        put("hosts".into(), inventory);
        put("pvc.yml".into(), "- hosts: all\n".into());
        tree
    }

    fn bootstrap(&self, cluster: &Cluster) -> String {
        let on_complete = if cluster.power_off { "power-off" } else { "none" };
        let ansible = if cluster.ansible { "{ playbook: pvc.yml }" } else { "none" };
        let mut text = format!(
            "cluster: {{ installer: pvc, ansible: {ansible}, on_complete: {on_complete}, run: {} }}\nbootstrap:\n",
            cluster.run
        );
        for host in self.hosts.iter().filter(|host| host.cluster == cluster.name && !host.hidden) {
            text += &host.entry();
        }
        text += "hooks:\n";
        if cluster.on_hosts {
            text += "  - { name: disks, type: osd, args: { disk: /dev/sdb } }\n";
            text += "  - { name: vms, type: pool, args: { name: vms, pgs: 64 } }\n";
        }
        for hook in 0..cluster.hooks {
            text += &format!(
                "  - name: hook {hook}\n    type: webhook\n    args: {{ uri: \"https://hooks.example.net/{hook}\", action: post, body: {{ text: done }} }}\n"
            );
        }
        if cluster.hooks == 0 && !cluster.on_hosts {
            text = text.replace("hooks:\n", "hooks: []\n");
        }
        if self.broken {
            text += "bootstrapp: {}\n";
        }
        text
    }
}

/// Reads a made-up repository with the real reader.
pub fn load(
    rack: &Rack,
    site: &Site,
    previous: Option<&Desired>,
    revision: String,
) -> Result<Arc<Desired>, Vec<Finding>> {
    let context = Context {
        http_base: site.http_base(),
        address: site.address,
        subnets: &site.subnets,
        deploy_username: "deploy".into(),
        mirror: "http://mirror.example.net/debian".into(),
        release: "bookworm".into(),
        previous,
        revision: Some(Revision::new(&revision)),
        secrets: Default::default(),
    };
    let loaded = repo::load(&rack.tree(), &context);
    let wrong: Vec<_> = loaded.findings.into_iter().filter(|it| it.severity == Severity::Error).collect();
    loaded.desired.map(Arc::new).ok_or(wrong)
}
