//! Beside another DHCP server: boot options only, to firmware only, on 67 and on the boot servers' port.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rackwright::model::*;
use rackwright::plan::boot::{self, FileAnswer};
use rackwright::serve::dhcp;
use rackwright::serve::dhcp::destination::{Destination, destination, to_asker};
use rackwright::serve::dhcp::netboot::{self, Port};
use rackwright::serve::dhcp::respond::{Answer, DropReason, Here};
use rackwright::serve::dhcp::wire::{self, Kind, Reply, option};
use rackwright::settings::DhcpMode;

use crate::rig::net::*;
use crate::rig::net_dhcp::*;

fn beside() -> World {
    let mut world = rack();
    let mut policy = policy(Vec::new());
    policy.site.leases_are_ours = false;
    world.policy = Arc::new(policy);
    world
}

fn ask(raw: &Raw, port: Port) -> Answer {
    netboot::respond(&beside(), &request_of(raw), HERE, port)
}

fn answer(raw: &Raw, port: Port) -> Reply {
    match ask(raw, port) {
        Answer::Send(reply) => reply,
        other => panic!("{other:?}"),
    }
}

#[test]
fn firmware_is_offered_its_boot_file_and_no_address() {
    let zero = Ipv4Addr::UNSPECIFIED;
    let bios = Raw::new(1, mac(3)).with(93, [0, 0]).with(60, "PXEClient:Arch:00000:UNDI:002001");
    let script = format!("http://10.255.255.1:9999/boot/{}/boot.ipxe", mac(3));
    for (raw, class, file) in [
        (edk2_pxe(1, mac(3)), "PXEClient", "ipxe.efi"),
        (bios, "PXEClient", "undionly.kpxe"),
        (ipxe(1, mac(3)), "PXEClient", script.as_str()),
        (edk2_http(1, mac(3)), "HTTPClient", "http://10.255.255.1:9999/assets/ipxe.efi"),
    ] {
        let offer = answer(&raw, Port::Server);
        assert_eq!((offer.kind, offer.yiaddr, offer.file.as_str()), (Kind::Offer, zero, file));
        assert_eq!(offer.option(option::VENDOR_CLASS), Some(class.as_bytes()));
        assert_eq!(offer.option(option::SERVER_ID), Some(&SERVER[..]));
        assert_eq!(offer.option(option::BOOT_FILE), Some(file.as_bytes()));
        // Without discovery control EDK2 would look for a boot server of its own.
        let control = (class == "PXEClient").then_some(&[6, 1, 8, 255][..]);
        assert_eq!(offer.option(option::VENDOR_INFO), control);
        assert_eq!(offer.option(option::LEASE_TIME), None);
        assert_eq!(offer.option(option::SUBNET_MASK), None);
        assert_eq!(offer.option(option::MACHINE_ID), request_of(&raw).machine_id.as_deref());
        let classes = offer.options.iter().filter(|(code, _)| *code == option::VENDOR_CLASS).count();
        assert_eq!(classes, 1);
        let to = destination(&offer, &request_of(&raw), "0.0.0.0:68".parse().unwrap(), 67);
        assert_eq!(
            to,
            Destination::Udp("255.255.255.255:68".parse().unwrap()),
            "whatever the flag: it has no address yet"
        );
    }
}

#[test]
fn who_has_an_address_is_acknowledged_on_the_boot_servers_port() {
    let client = ip("192.0.2.50");
    let raw = edk2_pxe(3, mac(3)).ciaddr(client);
    let ack = answer(&raw, Port::Boot);
    assert_eq!((ack.kind, ack.ciaddr, ack.yiaddr), (Kind::Ack, client, Ipv4Addr::UNSPECIFIED));
    assert_eq!(ack.file, "ipxe.efi");
    let from = "192.0.2.50:4011".parse().unwrap();
    assert_eq!(to_asker(&request_of(&raw), from), Destination::Udp(from));
    let silent = edk2_pxe(3, mac(3));
    assert_eq!(to_asker(&request_of(&silent), from), Destination::Udp(from), "some leave ciaddr out");
    assert_eq!(answer(&edk2_pxe(8, mac(3)).ciaddr(client), Port::Boot).kind, Kind::Ack);
}

#[test]
fn everything_else_is_the_other_servers() {
    for raw in [bmc(1, mac(2)), bmc(1, mac(3)), uboot(1, mac(3)), bmc(1, mac(99))] {
        assert_eq!(ask(&raw, Port::Server), Answer::Drop(DropReason::NoNetworkBoot));
    }
    for kind in [3, 4, 7, 8] {
        assert_eq!(ask(&edk2_pxe(kind, mac(3)), Port::Server), Answer::Drop(DropReason::NotOurs));
    }
    for kind in [1, 4, 7] {
        assert_eq!(ask(&edk2_pxe(kind, mac(3)), Port::Boot), Answer::Drop(DropReason::NotOurs));
    }
    // An architecture without a loader, and a BMC that says it is firmware.
    let arm32 = Raw::new(1, mac(3)).with(93, [0, 10]).with(60, "PXEClient:Arch:00010:UNDI:003000");
    assert_eq!(ask(&arm32, Port::Server), Answer::Drop(DropReason::NoNetworkBoot));
    assert_eq!(ask(&edk2_pxe(1, mac(2)), Port::Server), Answer::Drop(DropReason::NoNetworkBoot));
    // An interface that does not face the boot network.
    let elsewhere = Here { segments: &[], ..HERE };
    let heard = netboot::respond(&beside(), &request_of(&edk2_pxe(1, mac(3))), elsewhere, Port::Server);
    assert_eq!(heard, Answer::Drop(DropReason::UnknownSegment));
    let relayed =
        netboot::respond(&beside(), &request_of(&edk2_pxe(1, mac(3)).relay("192.0.2.1")), elsewhere, Port::Server);
    assert_eq!(kinds(&relayed), "offer", "relays were told to bring us what they bring");
}

#[test]
fn boot_files_go_to_the_machine_that_the_name_says() {
    // Nobody told us of leases: the MAC in the name is all there is.
    let FileAnswer::Body(script) = boot::file(&beside(), mac(3), "boot.ipxe", "192.0.2.50".parse().unwrap()) else {
        panic!("no script")
    };
    assert!(script.contains("INSTALLER"));
}

#[tokio::test]
async fn both_ports_answer_over_sockets() {
    let mut wanted = settings(ip("127.0.0.1"), None);
    wanted.network.dhcp_mode = DhcpMode::Proxy;
    let daemon = Loop::start(beside(), wanted);
    let server = dhcp::bind(&daemon.ctx).await.unwrap();
    let (main, boot) = (server.local_addr(), server.boot_addr().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(server.run(daemon.ctx.clone()));
    let client = Client::at("127.0.0.1:0").await;
    client.send(&bmc(1, mac(2)).relay("127.0.0.1").bytes(), main).await;
    client.send(&edk2_pxe(1, mac(3)).relay("127.0.0.1").bytes(), main).await;
    let (offer, from) = client.receive().await;
    assert_eq!((options(&offer)[0].clone(), from), ((53, vec![2]), main), "the BMC got nothing");
    client.send(b"nonsense", boot).await;
    client.send(&edk2_pxe(3, mac(3)).ciaddr(ip("127.0.0.1")).bytes(), boot).await;
    let (ack, from) = client.receive().await;
    assert_eq!((options(&ack)[0].clone(), from), ((53, vec![5]), boot));
    assert_eq!(&ack[12..16], [127, 0, 0, 1]);
    assert!(daemon.events().is_empty(), "nothing is leased here");
    assert!(matches!(wire::parse(&ack), Ok(wire::Packet::FromServer(_))));
    let steps = daemon.ctx.trace.of(mac(3));
    let said: Vec<_> = steps.iter().map(|step| (step.exchange.asked(), step.exchange.outcome())).collect();
    let file = "ipxe.efi from 10.255.255.1";
    assert_eq!(said[0], ("discover (UEFI x64 PXE) by relay 127.0.0.1".to_owned(), format!("offer, {file}")));
    assert_eq!(said[1], ("request 127.0.0.1 (UEFI x64 PXE)".to_owned(), format!("ack, {file}")));
}
