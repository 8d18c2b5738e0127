//! What `ipmitool` prints, as recorded and as people have reported it, and what it is taken for.

use rackwright::drive::bmc::ipmi::answer::{BootFlags, Device, Pairs, power, records, sensors};
use rackwright::drive::bmc::ipmi::{Ipmitool, power as switch};
use rackwright::drive::bmc::transport::{Exchange, IpmiCall, LocalBmc, NoResponse, Request};
use rackwright::drive::bmc::{Endpoint, Transport};
use rackwright::drive::process::{Output, ProcessError};
use rackwright::model::{Fault, FaultClass, PowerState, Protocol, Reason, Secret};

/// Says the same to every call.
#[derive(Debug)]
struct Parrot {
    first: String,
    then: Option<String>,
}

impl LocalBmc for Parrot {
    fn redfish(&self, _request: Request) -> Exchange<'_> {
        Box::pin(std::future::ready(Err(NoResponse::Connection)))
    }
    fn certificate(&self) -> String {
        String::new()
    }
    fn ipmitool<'a>(&'a self, args: &'a [String], _password: &'a Secret) -> IpmiCall<'a> {
        let greeting = args.iter().any(|arg| arg == "-v");
        let (status, stderr) = match (&self.then, greeting) {
            (None, _) => (1, self.first.clone()),
            (Some(_), true) => (0, String::new()),
            (Some(then), false) => (1, then.clone()),
        };
        let output = Output { status: Some(status), stdout: Vec::new(), stderr, truncated: false };
        Box::pin(std::future::ready(if output.stderr == "missing" {
            Err(ProcessError::NotFound("ipmitool".into()))
        } else {
            Ok(output)
        }))
    }
}

async fn fault(first: &str, then: Option<&str>) -> Fault {
    let parrot = Parrot { first: first.into(), then: then.map(str::to_owned) };
    let (host, address) = ("cluster1/hv1".parse().unwrap(), "192.0.2.20".parse().unwrap());
    let target = Endpoint {
        protocol: Protocol::Ipmi,
        transport: Transport::Local(std::sync::Arc::new(parrot)),
        ..Endpoint::new(host, address, "root", Secret::new("secret"))
    };
    switch::control(&Ipmitool::new(target), switch::Control::On).await.unwrap_err()
}

#[tokio::test]
async fn each_way_to_have_no_session() {
    const END: &str = "Error: Unable to establish IPMI v2 / RMCP+ session\n";
    let (operator, permanent, transient) = (FaultClass::Operator, FaultClass::Permanent, FaultClass::Transient);
    for (said, class, reason) in [
        ("Loading IANA PEN Registry...\n> RAKP 2 HMAC is invalid\n", operator, "AuthenticationFailed"),
        ("RAKP 2 message indicates an error : unauthorized name\n", operator, "AuthenticationFailed"),
        ("RAKP 2 message indicates an error : illegal parameter\n", operator, "AuthenticationFailed"),
        ("> RAKP 4 message has invalid integrity check value\n", operator, "AuthenticationFailed"),
        ("RAKP 4 message indicates an error : invalid integrity check value\n", operator, "AuthenticationFailed"),
        ("RAKP 2 message indicates an error : unauthorized role requested\n", operator, "InsufficientPrivilege"),
        ("RAKP 2 message indicates an error : insufficient resources for session\n", transient, "BmcBusy"),
        ("Error in open session response message : insufficient resources for session\n\n", transient, "BmcBusy"),
        ("Error in open session response message : no matching cipher suite\n\n", permanent, "CipherSuiteRefused"),
        ("Error in open session response message : invalid integrity algorithm\n\n", permanent, "CipherSuiteRefused"),
        ("Unsupported cipher suite ID : 17\n\n", permanent, "CipherSuiteRefused"),
        ("This BMC does not support IPMI v2 / RMCP+\n", permanent, "NotIpmi20"),
        ("Set Session Privilege Level to ADMINISTRATOR failed: Invalid data\n", operator, "InsufficientPrivilege"),
        (
            "> Error: no response from RAKP 1 message\nSet Session Privilege Level to ADMINISTRATOR failed\n",
            transient,
            "Unreachable",
        ),
        ("Get Auth Capabilities error\n", transient, "Unreachable"),
        ("Address lookup for bmc.example.net failed\nCould not open socket!\n", transient, "Unreachable"),
        ("", transient, "Unreachable"),
    ] {
        let fault = fault(&format!("{said}{END}"), None).await;
        assert_eq!((fault.class, fault.reason.as_str()), (class, reason), "{said}");
        assert!(fault.message.contains("192.0.2.20") && !fault.message.chars().any(char::is_control), "{fault}");
    }
}

#[tokio::test]
async fn each_way_to_refuse_a_command() {
    let (operator, permanent, transient) = (FaultClass::Operator, FaultClass::Permanent, FaultClass::Transient);
    for (said, class, reason) in [
        (
            "Set Chassis Power Control to Up/On failed: Command not supported in present state\n",
            permanent,
            "IpmiRefused",
        ),
        (
            "Set Chassis Power Control to Up/On failed: Insufficient privilege level\n",
            operator,
            "InsufficientPrivilege",
        ),
        ("Set Chassis Power Control to Up/On failed: Node busy\n", transient, "BmcBusy"),
        ("Set Chassis Power Control to Up/On failed: Timeout\n", transient, "BmcBusy"),
        ("Set Chassis Power Control to Up/On failed: Unspecified error\n", transient, "IpmiError"),
        ("Unable to set Chassis Power Control to Up/On\n", transient, "Unreachable"),
        ("Unable to send RAW command (channel=0x0 netfn=0x0 lun=0x0 cmd=0x8)\n", transient, "Unreachable"),
        (
            "Unable to send RAW command (channel=0x0 netfn=0x0 lun=0x0 cmd=0x8 rsp=0xcc): Invalid data field in request\n",
            permanent,
            "IpmiRefused",
        ),
        ("Error: Unable to establish IPMI v2 / RMCP+ session\n", transient, "Unreachable"),
        ("", permanent, "IpmiRefused"),
    ] {
        let fault = fault("", Some(said)).await;
        assert_eq!((fault.class, fault.reason.as_str()), (class, reason), "{said}");
    }
}

#[tokio::test]
async fn a_missing_program_names_its_package() {
    let fault = fault("missing", None).await;
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::ProgramMissing));
    assert!(fault.message.contains("Debian package ipmitool"), "{fault}");
}

#[test]
fn boot_flags_are_the_bytes_of_the_specification() {
    let flags = |valid, persistent, efi, device| BootFlags { valid, persistent, efi, device };
    for (bytes, flags) in [
        ([0xa0, 0x04], flags(true, false, true, Device::Pxe)),
        ([0xe0, 0x04], flags(true, true, true, Device::Pxe)),
        ([0x80, 0x04], flags(true, false, false, Device::Pxe)),
        ([0xe0, 0x08], flags(true, true, true, Device::Disk)),
        ([0x80, 0x14], flags(true, false, false, Device::Cdrom)),
        ([0x80, 0x18], flags(true, false, false, Device::Bios)),
        ([0xa0, 0x3c], flags(true, false, true, Device::Other(15))),
        ([0x00, 0x00], flags(false, false, false, Device::None)),
    ] {
        assert_eq!(flags.bytes(), [bytes[0], bytes[1], 0, 0, 0]);
        let read = format!(" 01 05 {:02x} {:02x} 00 00 00\n", bytes[0], bytes[1]);
        assert_eq!(BootFlags::read(&read), Some(flags), "{read}");
    }
    // Marked invalid, cut short, not hexadecimal.
    for raw in [" 01 85 80 04 00 00 00", " 01 05 80", "", "Unable", " 01 05 zz 04"] {
        assert_eq!(BootFlags::read(raw), None, "{raw}");
    }
}

#[test]
fn power_is_read_whatever_stands_around_it() {
    let texts =
        ["Chassis Power is on\n", "Running Get VSO\nchassis power is ON  \r\n", "Chassis Power is off", "", "on"];
    let (on, off, unknown) = (PowerState::On, PowerState::Off, PowerState::Unknown);
    assert_eq!(texts.map(power), [on, on, off, unknown, unknown]);
}

#[test]
fn pairs_keep_what_says_something() {
    let text = " Board Mfg             : Dell Inc.  \n Board Mfg Date : Mon Jan  2 10:11:00 2023\n Product Name : N/A\n\
                 Product Name : PowerEdge \u{1b}[31mR640\n Product Serial : 0000000000\n Product Asset Tag :\nno colon\n\
                 : continued\n Mac Address : 00:00:00:00:00:00\n mac address : d0:94:66:00:11:22\n";
    let pairs = Pairs::read(text);
    assert_eq!(pairs.get("board mfg"), Some("Dell Inc."));
    assert_eq!(pairs.get("Board Mfg Date"), Some("Mon Jan  2 10:11:00 2023"));
    assert_eq!(pairs.get("Product Name"), Some("PowerEdge [31mR640"));
    assert_eq!(pairs.any(&["Product Serial", "Product Asset Tag", "Board Mfg"]).as_deref(), Some("Dell Inc."));
    assert_eq!(pairs.mac("MAC Address"), None, "the first is the BMC's");
    assert_eq!(pairs.iter().count(), 7);
    assert_eq!(pairs.without("PRODUCT NAME").get("Product Name"), None);
    let long = Pairs::read(&format!("Name : {}\n", "x".repeat(5000)));
    assert_eq!(long.get("Name").map(str::len), Some(200));
}

#[test]
fn sensors_and_events_are_read_from_every_layout() {
    let list =
        sensors("Inlet Temp | 23 degrees C | ok\nnoise\n | x | ok\nP1 Temp | 97 degrees C | ucr\nPS1 | 0x01 | lnr\n");
    assert_eq!(
        list.iter().map(|sensor| (sensor.name.as_str(), sensor.is_alarm())).collect::<Vec<_>>(),
        [("Inlet Temp", false), ("P1 Temp", true), ("PS1", true)]
    );
    let log = records(
        "   1 | 11/21/2026 | 07:48:00 | Power Supply #0x64 | Failure detected () | Asserted\nSEL has no entries\n\
                       zz | a | b | c\n  2a |  Pre-Init  |0000024480| Temperature Inlet Temp | Upper Critical going high\n",
    );
    assert_eq!(log.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), ["1", "2a"]);
    assert_eq!(log[0].event, "Power Supply #0x64, Failure detected (), Asserted");
    assert_eq!(log[1].at, "Pre-Init 0000024480");
}
