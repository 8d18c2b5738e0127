//! Whose habits a simulated BMC has. Shapes are those of recorded services where there is one (iDRAC9 6.00.30, iLO 5
//! 2.72, Supermicro X13), else those that the vendor's documents describe.

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vendor {
    /// iDRAC: long ids, no ETags, an LED that blinks or is lit, never off. BIOS changes take effect through a job, which
    /// `ApplyTime: OnReset` or a POST to the manager's `Jobs` makes. Volumes by task, while the machine has power.
    /// `Managers/iDRAC.Embedded.1/Attributes`.
    Dell,
    /// iLO 5: absolute session URLs, weak ETags, health that is not OK, NICs without link state, `systems/1/bios/` in
    /// lower case with a slash at the end. Volumes at once (201), with `RAIDType` and `Links.Drives` only.
    Hpe,
    /// ActionInfo instead of inline values, a NIC to the manager first, `Vendor` null, a second system that is a GPU
    /// board, `Bios/SD` that is empty until something is pending, 202 with a task for most things, `VolumeType`.
    Supermicro,
    /// As AMI's MegaRAC: If-Match required, no `ForceRestart`, `LocationIndicatorActive` only, `Bios/SD`, 204.
    Generic,
    /// As Lenovo's XCC: answers a PATCH with the whole resource, `Bios/Pending`, `UefiHttp` with `HttpBootUri`, and the
    /// GPU board is the *first* of the systems.
    Lenovo,
    /// As HP's iLO 4: no session service (Basic only), `HostCorrelation` instead of NICs, `SimpleStorage`, no BIOS
    /// resource, `BootSourceOverrideSupported`, no mode, `PushPowerButton` instead of `GracefulShutdown`.
    OldHp,
}

impl Vendor {
    /// The four that every action is expected to work on.
    pub const ALL: [Vendor; 4] = [Vendor::Dell, Vendor::Hpe, Vendor::Supermicro, Vendor::Generic];
    pub const EVERY: [Vendor; 6] =
        [Vendor::Dell, Vendor::Hpe, Vendor::Supermicro, Vendor::Generic, Vendor::Lenovo, Vendor::OldHp];

    /// Path of the system that is the machine.
    pub fn system_path(self) -> &'static str {
        match self {
            Vendor::Dell => "/redfish/v1/Systems/System.Embedded.1",
            Vendor::Hpe | Vendor::Supermicro | Vendor::Lenovo | Vendor::OldHp => "/redfish/v1/Systems/1",
            Vendor::Generic => "/redfish/v1/Systems/Self",
        }
    }

    /// The collection of systems, in its order.
    pub fn systems(self) -> Vec<&'static str> {
        match self {
            Vendor::Supermicro => vec![self.system_path(), BOARD],
            Vendor::Lenovo => vec![BOARD, self.system_path()],
            _ => vec![self.system_path()],
        }
    }

    pub fn manager_path(self) -> &'static str {
        match self {
            Vendor::Dell => "/redfish/v1/Managers/iDRAC.Embedded.1",
            Vendor::Hpe | Vendor::Supermicro | Vendor::Lenovo | Vendor::OldHp => "/redfish/v1/Managers/1",
            Vendor::Generic => "/redfish/v1/Managers/Self",
        }
    }

    /// Path of the manager's attributes, where there are any; and under which other name they are known.
    pub fn manager_attributes(self) -> Option<[&'static str; 2]> {
        (self == Vendor::Dell).then_some([
            "/redfish/v1/Managers/iDRAC.Embedded.1/Attributes",
            "/redfish/v1/Managers/iDRAC.Embedded.1/Oem/Dell/DellAttributes/iDRAC.Embedded.1",
        ])
    }

    /// Path of the jobs that configure, where there are any.
    pub fn jobs(self) -> Option<&'static str> {
        (self == Vendor::Dell).then_some("/redfish/v1/Managers/iDRAC.Embedded.1/Oem/Dell/Jobs")
    }

    pub fn chassis_path(self) -> &'static str {
        match self {
            Vendor::Dell => "/redfish/v1/Chassis/System.Embedded.1",
            Vendor::Generic => "/redfish/v1/Chassis/Self",
            _ => "/redfish/v1/Chassis/1",
        }
    }

    /// Paths of the BIOS settings and of those that are pending.
    pub fn bios(self) -> Option<[&'static str; 2]> {
        Some(match self {
            Vendor::Dell => {
                ["/redfish/v1/Systems/System.Embedded.1/Bios", "/redfish/v1/Systems/System.Embedded.1/Bios/Settings"]
            }
            Vendor::Hpe => ["/redfish/v1/systems/1/bios", "/redfish/v1/systems/1/bios/settings"],
            Vendor::Supermicro => ["/redfish/v1/Systems/1/Bios", "/redfish/v1/Systems/1/Bios/SD"],
            Vendor::Generic => ["/redfish/v1/Systems/Self/Bios", "/redfish/v1/Systems/Self/Bios/SD"],
            Vendor::Lenovo => ["/redfish/v1/Systems/1/Bios", "/redfish/v1/Systems/1/Bios/Pending"],
            Vendor::OldHp => return None,
        })
    }

    /// What `IndicatorLED` may be.
    pub fn led_words(self) -> &'static [&'static str] {
        match self {
            Vendor::Dell => &["Lit", "Blinking"],
            Vendor::Hpe | Vendor::Supermicro | Vendor::OldHp => &["Lit", "Off"],
            Vendor::Lenovo => &["Lit", "Blinking", "Off"],
            Vendor::Generic => &[],
        }
    }

    /// The LED's word for "somebody wants you to look here".
    pub fn led_on(self) -> &'static str {
        if self == Vendor::Dell { "Blinking" } else { "Lit" }
    }

    pub fn led_off(self) -> &'static str {
        if self == Vendor::Dell { "Lit" } else { "Off" }
    }

    /// Whether it has `LocationIndicatorActive`.
    pub fn has_location_indicator(self) -> bool {
        matches!(self, Vendor::Supermicro | Vendor::Generic | Vendor::Lenovo)
    }

    /// What `ComputerSystem.Reset` takes.
    pub fn reset_types(self) -> &'static [&'static str] {
        match self {
            Vendor::Generic => &["On", "ForceOff", "GracefulShutdown"],
            Vendor::OldHp => &["On", "ForceOff", "ForceRestart", "Nmi", "PushPowerButton"],
            _ => &["On", "ForceOff", "GracefulShutdown", "ForceRestart", "PushPowerButton"],
        }
    }

    /// What `BootSourceOverrideTarget` takes.
    pub fn boot_targets(self) -> &'static [&'static str] {
        match self {
            Vendor::Lenovo => &["None", "Pxe", "Cd", "Usb", "Hdd", "BiosSetup", "Diags", "UefiTarget", "UefiHttp"],
            Vendor::Hpe => &["None", "Cd", "Hdd", "Usb", "SDCard", "BiosSetup", "Pxe", "UefiShell", "UefiHttp"],
            Vendor::OldHp => &["None", "Cd", "Hdd", "Usb", "Utilities", "Diags", "BiosSetup", "Pxe", "UefiShell"],
            _ => &["None", "Pxe", "Cd", "Hdd", "BiosSetup"],
        }
    }

    /// Whether the URL of an HTTP boot can be set for one boot (`HttpBootUri`, ComputerSystem 1.9).
    pub fn has_http_boot_uri(self) -> bool {
        self == Vendor::Lenovo
    }

    /// Whether it tells resources' versions (RFC 9110 section 8.8.3).
    pub fn has_etags(self) -> bool {
        self != Vendor::Dell
    }

    /// Whether a PATCH without `If-Match` is refused with 428.
    pub fn demands_if_match(self) -> bool {
        self == Vendor::Generic
    }

    pub fn names(self) -> [&'static str; 2] {
        match self {
            Vendor::Dell => ["Dell Inc.", "PowerEdge R750"],
            Vendor::Hpe => ["HPE", "ProLiant DL385 Gen10 Plus v2"],
            Vendor::Supermicro => ["Supermicro", "SYS-821GE-TNHR"],
            Vendor::Generic => ["Example", "Pizza Box 1"],
            Vendor::Lenovo => ["Lenovo", "ThinkSystem SR650 V2"],
            Vendor::OldHp => ["HP", "ProLiant DL380 Gen9"],
        }
    }

    /// `Vendor` and `Oem` of the service root.
    pub fn root_names(self) -> (Value, Value) {
        match self {
            Vendor::Dell => (json!("Dell"), json!({ "Dell": { "IsBranded": 0 } })),
            Vendor::Hpe => (json!("HPE"), json!({ "Hpe": { "Manager": [{ "ManagerType": "iLO 5" }] } })),
            Vendor::Supermicro => (Value::Null, json!({ "Supermicro": {} })),
            Vendor::Generic => (Value::Null, Value::Null),
            Vendor::Lenovo => (json!("Lenovo"), json!({ "Lenovo": {} })),
            Vendor::OldHp => (Value::Null, json!({ "Hp": { "Manager": [{ "ManagerType": "iLO 4" }] } })),
        }
    }
}

/// A system that is no machine: no power to switch, no NIC, nothing to boot.
pub const BOARD: &str = "/redfish/v1/Systems/HGX_Baseboard_0";
