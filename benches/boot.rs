//! What a network boot costs in a World of 10,000 hosts (budget: 10 µs an answer).

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use rackwright::model::World;
use rackwright::plan::boot::{self, Firmware};
use rackwright::plan::lease;

#[path = "../tests/rig/net.rs"]
mod support;
use support::*;

const HOSTS: u64 = 10_000;

/// Every third host is armed, every third installed, every third new; each has a lease in 10.0.0.0/16.
fn rack() -> World {
    let facts = |n: u64| match n % 3 {
        0 => armed(1),
        1 => installed(1),
        _ => Default::default(),
    };
    let mut world = world((0..HOSTS).map(|n| (host(n), facts(n))).collect());
    let mut wide = subnet();
    wide.net = "10.0.0.0/16".parse().unwrap();
    (wide.first, wide.last, wide.gateway) = (ip("10.0.1.0"), ip("10.0.255.254"), None);
    wide.lease_time = Duration::from_secs(3600);
    let mut policy = policy(vec![wide]);
    policy.site.address = ip("10.0.0.1");
    world.policy = Arc::new(policy);
    for n in 0..HOSTS {
        lease_to(&mut world, mac(2 * n + 1), address_of(n), NOW + Duration::from_secs(3600));
    }
    world
}

fn address_of(n: u64) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(ip("10.0.1.0")) + u32::try_from(n).unwrap())
}

fn answers(c: &mut Criterion) {
    let world = rack();
    let (install, done, stranger) = (mac(2 * 3000 + 1), mac(2 * 3001 + 1), mac(99_999_999));
    let at = |n| IpAddr::V4(address_of(n));
    let pxe = Firmware { arch: Some(7), pxe: true, ..Firmware::default() };
    let ipxe = Firmware { ipxe: true, ..pxe };
    let preseed = format!("mac-{}.preseed", install.hex());
    c.bench_function("decide/install", |b| b.iter(|| boot::decide(black_box(&world), black_box(install))));
    c.bench_function("decide/installed", |b| b.iter(|| boot::decide(black_box(&world), black_box(done))));
    c.bench_function("decide/unknown", |b| b.iter(|| boot::decide(black_box(&world), black_box(stranger))));
    c.bench_function("dhcp/pxe", |b| b.iter(|| boot::dhcp(black_box(&world), black_box(install), pxe)));
    c.bench_function("dhcp/ipxe", |b| b.iter(|| boot::dhcp(black_box(&world), black_box(install), ipxe)));
    c.bench_function("file/boot.ipxe", |b| b.iter(|| boot::file(black_box(&world), install, "boot.ipxe", at(3000))));
    c.bench_function("file/preseed", |b| b.iter(|| boot::file(black_box(&world), install, &preseed, at(3000))));
    c.bench_function("file/local", |b| b.iter(|| boot::file(black_box(&world), done, "boot.ipxe", at(3001))));
    c.bench_function("lease/new", |b| {
        b.iter(|| lease::choose(black_box(&world), black_box(stranger), None, ip("10.0.0.1"), NOW));
    });
    c.bench_function("lease/own", |b| {
        b.iter(|| lease::choose(black_box(&world), black_box(install), None, ip("10.0.0.1"), NOW));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).without_plots();
    targets = answers
}
criterion_main!(benches);
