//! What `ipmitool` 1.8.19 prints.

use super::Said;
use crate::model::{Mac, PowerState};

pub(super) const MC_INFO: &str = "\
Device ID                 : 32
Device Revision           : 1
Firmware Revision         : 1.74
IPMI Version              : 2.0
Manufacturer ID           : 10876
Manufacturer Name         : Supermicro
Product ID                : 2404 (0x0964)
Product Name              : Unknown (0x964)
Device Available          : yes
Provides Device SDRs      : no
Additional Device Support :
    Sensor Device
    SEL Device
    FRU Inventory Device
    Chassis Device
Aux Firmware Rev Info     : \n    0x01\n    0x00\n    0x00\n    0x00
";

pub(super) const SEL: &str = "\
   1 |  Pre-Init  |0000024480| Processor #0x01 | Presence detected | Asserted
   2 | 11/21/2026 | 07:48:00 UTC | Temperature #0x01 | Upper Critical going high | Asserted
";

pub(super) const SDR: &str = "\
Inlet Temp       | 23 degrees C      | ok
FAN1             | no reading        | ns
P1 Temp          | 97 degrees C      | cr
";

pub(super) fn said(text: &str) -> Said {
    Said { status: 0, stdout: text.to_owned(), stderr: String::new() }
}

pub(super) fn failed(why: &str) -> Said {
    Said { status: 1, stdout: String::new(), stderr: why.to_owned() }
}

pub(super) fn no_session(why: &str, verbose: bool) -> Said {
    let head = if verbose { "Loading IANA PEN Registry...\n" } else { "" };
    failed(&format!("{head}{why}Error: Unable to establish IPMI v2 / RMCP+ session\n"))
}

/// Refused in the first message of the handshake.
pub(super) fn open_session(why: &str, verbose: bool) -> Said {
    no_session(&format!("Error in open session response message : {why}\n\n"), verbose)
}

pub(super) fn silent(verbose: bool) -> Said {
    let why = "Get Auth Capabilities error\nError issuing Get Channel Authentication Capabilities request\n";
    no_session(if verbose { why } else { "" }, verbose)
}

/// A completion code other than 0.
pub(super) fn refused(name: &str, raw: bool, code: u8, why: &str) -> Said {
    match raw {
        true => refused_raw(name.parse().unwrap_or_default(), code, why),
        false => failed(&format!("{name} failed: {why}\n")),
    }
}

pub(super) fn refused_raw(command: u8, code: u8, why: &str) -> Said {
    failed(&format!(
        "Unable to send RAW command (channel=0x0 netfn=0x0 lun=0x0 cmd={command:#x} rsp={code:#x}): {why}\n"
    ))
}

pub(super) fn unanswered(name: &str, raw: bool) -> Said {
    match raw {
        true => failed(&format!("Unable to send RAW command (channel=0x0 netfn=0x0 lun=0x0 cmd=0x{name})\n")),
        false => failed(&format!("Unable to {}\n", name.replacen("Set ", "set ", 1))),
    }
}

pub(super) fn power(power: PowerState) -> Said {
    said(&format!("Chassis Power is {}\n", word(power)))
}

fn word(power: PowerState) -> &'static str {
    match power {
        PowerState::On => "on",
        PowerState::Off | PowerState::Unknown => "off",
    }
}

pub(super) fn chassis(power: PowerState) -> Said {
    let power = word(power);
    said(&format!(
        "System Power         : {power}\nPower Overload       : false\nPower Interlock      : inactive\n\
         Main Power Fault     : false\nPower Control Fault  : false\nPower Restore Policy : always-off\n\
         Last Power Event     : \nChassis Intrusion    : inactive\nFront-Panel Lockout  : inactive\n\
         Drive Fault          : false\nCooling/Fan Fault    : false\n"
    ))
}

pub(super) fn fru(mac: Mac) -> Said {
    let serial = mac.hex().to_uppercase();
    said(&format!(
        " Chassis Type          : Rack Mount Chassis\n Chassis Part Number   : CSE-829\n Chassis Serial        : C8290\n \
         Board Mfg Date        : Unspecified\n Board Mfg             : Supermicro\n Board Product         : X11DPT\n \
         Board Serial          : BRD0001\n Product Manufacturer  : Supermicro\n Product Name          : SYS-2029TP\n \
         Product Part Number   : SYS-2029TP-HC1R\n Product Serial        : {serial}\n\n"
    ))
}

pub(super) fn lan(mac: Option<Mac>) -> Said {
    let mac = mac.unwrap_or(Mac([0; 6]));
    said(&format!(
        "Set in Progress         : Set Complete\nAuth Type Support       : NONE MD2 MD5 PASSWORD \n\
         Auth Type Enable        : Callback : NONE MD2 MD5 PASSWORD \n                        : User     : MD5 \n\
         IP Address Source       : DHCP Address\nIP Address              : 192.0.2.20\n\
         Subnet Mask             : 255.255.255.0\nMAC Address             : {mac}\n\
         SNMP Community String   : public\nDefault Gateway IP      : 0.0.0.0\n\
         RMCP+ Cipher Suites     : 3,17\nCipher Suite Priv Max   : aaaaaaaaaaaaaaa\n\
                                 :     X=Cipher Suite Unused\nBad Password Threshold  : 3\n"
    ))
}
