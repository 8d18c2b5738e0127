//! What 10,000 hosts cost. Budgets: planning everything 10 ms, cloning or publishing the World 1 ms, an idle World 64 MiB.
//!
//! The repository is made up and read by the real reader, so that the memory counted is what a daemon would hold.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rackwright::model::{
    Armed, CheckIn, CheckInAction, Claim, Consent, Desired, Event, Generation, HostFacts, HostId, HostSpec, HostState,
    Installed, Inventory, Mac, OfInstall, Policy, Time, Token, Tries, World,
};
use rackwright::plan::{self, report};
use rackwright::sim::fault::Dice;
use tokio::sync::watch;

#[path = "../tests/rig/racks.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod racks;
use racks::{Cluster, Host, Rack};

const CLUSTERS: u32 = 50;
const HOSTS: u32 = 10_000;
const NOW: Time = Time::from_secs(1_800_000_000);

fn mac(kind: u8, number: u32) -> Mac {
    let [_, b, c, d] = number.to_be_bytes();
    Mac([0x52, 0x54, kind, b, c, d])
}

fn desired() -> Arc<Desired> {
    let mut rack = Rack::random(&mut Dice::new(1));
    rack.clusters.clear();
    rack.hosts.clear();
    for number in 0..CLUSTERS {
        rack.clusters.push(Cluster::plain(&format!("cluster{number}"), 2, false));
    }
    for number in 0..HOSTS {
        rack.hosts.push(Host {
            cluster: format!("cluster{}", number % CLUSTERS),
            name: format!("hv{number}"),
            bmc: true,
            bmc_mac: mac(0xaa, number),
            boot_mac: mac(0xbb, number),
            generation: 1,
            maintenance: false,
            options: 0,
            password: "secret".into(),
            wishes: racks::Wishes::default(),
            hidden: false,
        });
    }
    racks::load(&rack, &Policy::default().site, None, "0".repeat(40)).expect("a repository without errors")
}

fn token(number: u32) -> Token {
    let mut random = [7; 16];
    random[..4].copy_from_slice(&number.to_be_bytes());
    Token::from_random(random)
}

/// What is known of a host that is up and waits for its cluster's hooks.
fn here(number: u32, spec: &HostSpec) -> HostFacts {
    let (token, generation) = (token(number).id(), Generation(1));
    let inventory = Inventory {
        manufacturer: Some("Example".into()),
        model: Some("R1".into()),
        serial: Some(format!("S{number:07}")),
        ..Inventory::default()
    };
    HostFacts {
        inventory: Some((inventory, NOW)),
        prepared: Some(generation),
        intent: Some(generation),
        armed: Some(Armed { generation, tries: Tries { at: NOW, times: 1 } }),
        installed: Some(Installed { generation, token: token.clone(), spec: spec.spec.clone(), at: NOW }),
        booted: Some(OfInstall::new(&token, NOW)),
        finished: Some(OfInstall::new(&token, NOW)),
        shown: Some((HostState::Completed, NOW)),
        ..HostFacts::default()
    }
}

/// Every host completed: nothing to do for any of them.
fn idle(desired: Arc<Desired>) -> World {
    let mut world = World::new(Arc::new(Policy::default()));
    (world.consent, world.adopted) = (Consent::Open, true);
    let facts = desired.hosts.values().zip(0..).map(|(spec, number)| (spec.id.clone(), Arc::new(here(number, spec))));
    world.hosts = Arc::new(facts.collect());
    world.desired = Some(desired);
    world.git.fetched_at = Some(NOW);
    world
}

/// Every third host completed, every third in the middle of its install, every third not seen yet.
fn busy(idle: &World) -> World {
    let mut world = idle.clone();
    for (number, facts) in (0..).zip(Arc::make_mut(&mut world.hosts).values_mut()) {
        let facts = Arc::make_mut(facts);
        match number % 3 {
            0 => {}
            1 => {
                let installed = facts.installed.take().expect("it was installed");
                facts.bmc_seen = Some(("10.0.0.5".parse().expect("an address"), NOW));
                facts.claim = Some(Claim {
                    token: installed.token,
                    generation: installed.generation,
                    spec: installed.spec,
                    at: NOW,
                    last_seen: NOW,
                    confirmed: true,
                });
            }
            _ => *facts = HostFacts::default(),
        }
    }
    world
}

/// Resident memory of this process in MiB, as Linux says.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() / 1024.0
}

fn costs(c: &mut Criterion) {
    let before = resident();
    let world = idle(desired());
    let after = resident();
    println!("memory/10,000 idle hosts: {:.1} MiB ({before:.1} before, {after:.1} after)", after - before);
    let later = NOW + Duration::from_secs(1);
    c.bench_function("plan/idle", |b| b.iter(|| plan::plan(black_box(&world), later)));
    let installing = busy(&world);
    c.bench_function("plan/busy", |b| b.iter(|| plan::plan(black_box(&installing), later)));
    c.bench_function("world/clone", |b| b.iter(|| black_box(&world).clone()));
    let (view, _reader) = watch::channel(Arc::new(world.clone()));
    c.bench_function("world/publish", |b| b.iter(|| view.send_replace(Arc::new(black_box(&world).clone()))));
    let planned = plan::plan(&installing, later);
    c.bench_function("report", |b| b.iter(|| report::report(black_box(&installing), black_box(&planned))));
    check_in(c, &installing);
}

/// An install-complete, folded by itself and into a World that a reader still holds.
fn check_in(c: &mut Criterion, world: &World) {
    let id: &HostId = world.hosts.iter().find(|(_, facts)| facts.claim.is_some()).expect("a claim").0;
    let claim = world.hosts[id].claim.as_ref().expect("a claim");
    let event = Event::CheckedIn(CheckIn {
        token: Some(claim.token.clone()),
        action: CheckInAction::InstallComplete,
        hostname: Some(id.host.to_string()),
        host_mac: None,
        host_ip: None,
        bmc_mac: None,
        bmc_ip: None,
        ssh_host_key: None,
        source: "10.0.0.77".parse().expect("an address"),
    });
    c.bench_function("reduce/check-in, shared World", |b| {
        b.iter_batched(
            || world.clone(),
            |mut copy| plan::reduce(&mut copy, black_box(&event), NOW),
            BatchSize::PerIteration,
        );
    });
    let mut own = world.clone();
    Arc::make_mut(&mut own.hosts);
    c.bench_function("reduce/check-in, own World", |b| b.iter(|| plan::reduce(&mut own, black_box(&event), NOW)));
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2)).without_plots();
    targets = costs
}
criterion_main!(benches);
