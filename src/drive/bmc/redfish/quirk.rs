//! One row per oddity of a vendor's service: which product, how it was seen, and what is done about it.
//!
//! What a service says of itself (allowable values, settings objects, links) goes first everywhere; a row is for what it
//! does not say. Rows that match are applied in their order.

use serde_json::Value;

/// How a service differs from what DSP0266 and the schemas lead one to expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quirk {
    /// `IndicatorLED` for "look here".
    pub led_on: &'static str,
    /// `IndicatorLED` for "nothing".
    pub led_off: &'static str,
    /// How names of the machine's own NICs begin, in any case, the likeliest first.
    pub own_nics: &'static [&'static str],
    /// Whether a boot override must repeat what is set already: `BootSourceOverrideMode`, and the override itself.
    pub repeat_boot: bool,
    /// Where the boot override is set when the system refuses it: below the system's URI.
    pub boot_settings: &'static str,
    /// Where BIOS settings are written when `@Redfish.Settings` of the BIOS does not say: below the BIOS's URI.
    pub bios_settings: &'static str,
    /// `@Redfish.SettingsApplyTime` to send with BIOS settings, without which they stay pending for ever.
    pub apply_time: Option<&'static str>,
    /// Polls to wait after power went off, before it may be switched on.
    pub rest: u32,
    pub slot: Slot,
    pub mirror: Mirror,
    /// Minutes after which a session that nobody uses is forgotten.
    pub session_minutes: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// `PhysicalLocation.PartLocation`: its label, else its number.
    Label,
    /// By the bay in the drive's id: `Disk.Bay.2:Enclosure.Internal.0-1`.
    Id,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mirror {
    /// `RAIDType` and `Links.Drives`, as in Volume 1.4 and later.
    Links,
    /// `RAIDType`, `VolumeType` and `Drives`.
    Drives,
}

/// What is done about nothing in particular.
const PLAIN: Quirk = Quirk {
    led_on: "Lit",
    led_off: "Off",
    own_nics: &["Embedded", "Onboard", "LOM"],
    repeat_boot: false,
    boot_settings: "/Settings",
    bios_settings: "/Settings",
    apply_time: None,
    rest: 0,
    slot: Slot::Label,
    mirror: Mirror::Links,
    session_minutes: None,
};

#[cfg_attr(not(test), expect(dead_code, reason = "product and source are for readers, and checked by a test"))]
struct Row {
    /// Begins one of the vendor's names, in lower case.
    vendor: &'static str,
    /// A part of the model, in lower case; empty for all of them.
    model: &'static str,
    /// A product it was seen on, whose name this row reaches.
    product: &'static str,
    /// Where: a repository and its issue or file, or a document.
    source: &'static str,
    set: fn(&mut Quirk),
}

const ROWS: &[Row] = &[
    Row {
        vendor: "dell",
        model: "",
        product: "Dell PowerEdge R750 (iDRAC9 6.00.30.00)",
        // Lit in normal operation, never off; a recorded tree reads `Lit` at rest.
        source: "NVIDIA/libredfish mock-up dell; parallelvirtualcluster/pvc-bootstrap redfish.py",
        set: |quirk| (quirk.led_on, quirk.led_off) = ("Blinking", "Lit"),
    },
    Row {
        vendor: "dell",
        model: "",
        product: "Dell PowerEdge R750 (NIC.Embedded, NIC.Integrated, NIC.Slot)",
        source: "NVIDIA/libredfish mock-up dell, EthernetInterfaces; dell/redfish-ansible-module #56",
        set: |quirk| quirk.own_nics = &["NIC.Embedded", "NIC.Integrated"],
    },
    Row {
        vendor: "dell",
        model: "",
        product: "Dell PowerEdge R740 (iDRAC9)",
        // Without an apply time no job is made, and the settings stay pending over restarts.
        source: "dell/iDRAC-Redfish-Scripting #84; dell/terraform-provider-redfish #231",
        set: |quirk| quirk.apply_time = Some("OnReset"),
    },
    Row {
        vendor: "dell",
        model: "",
        product: "Dell PowerEdge R750 (Disk.Bay.2:Enclosure.Internal.0-1)",
        source: "NVIDIA/libredfish mock-up dell, Storage/CPU.1/Drives",
        set: |quirk| (quirk.slot, quirk.mirror) = (Slot::Id, Mirror::Drives),
    },
    Row {
        vendor: "dell",
        model: "",
        product: "Dell PowerEdge FC430 (iDRAC8)",
        source: "bb-Ricardo/check_redfish #90; RAC0218 in stmcginnis/gofish #75",
        set: |quirk| quirk.session_minutes = Some(30),
    },
    Row {
        vendor: "hp",
        model: "",
        product: "HPE ProLiant DL385 Gen10 Plus v2 (iLO 5 2.72)",
        // `NIC.LOM.1.1`, `NIC.FlexLOM.1.1`; since Gen10 Plus the card in OCP slot 10 is in their place.
        source: "HewlettPackard/ilo-rest-api-docs ilo5 resource definitions, StructuredName; NVIDIA/libredfish mock-up hpe",
        set: |quirk| quirk.own_nics = &["NIC.Embedded", "Embedded", "NIC.LOM", "NIC.FlexLOM", "OCP.Slot"],
    },
    Row {
        vendor: "super",
        model: "",
        product: "Supermicro X11 and later",
        // What is not repeated falls back to its default, by design.
        source: "DMTF/Redfishtool #106",
        set: |quirk| quirk.repeat_boot = true,
    },
    Row {
        vendor: "super",
        model: "",
        product: "Supermicro SYS-821GE-TNHR (X13)",
        // It says so itself: `PowerOnDelaySeconds` 3, `PowerCycleDelaySeconds` 5. Drives are `Disk.Bay.0` without a place.
        source: "NVIDIA/libredfish mock-up supermicro, Systems/1 and Storage/NVMeSSD",
        set: |quirk| {
            quirk.rest = 3;
            quirk.slot = Slot::Id;
            quirk.bios_settings = "/SD";
        },
    },
    Row {
        vendor: "super",
        model: "",
        product: "Supermicro AVAGO 3108",
        // PVC's way: `VolumeType: Mirrored` and `Drives`.
        source: "parallelvirtualcluster/pvc-bootstrap redfish.py",
        set: |quirk| quirk.mirror = Mirror::Drives,
    },
    Row {
        vendor: "lenovo",
        model: "",
        product: "Lenovo ThinkSystem SR650 V2 (XCC)",
        source: "bb-Ricardo/check_redfish #77; lenovo/python-redfish-lenovo #306",
        set: |quirk| quirk.bios_settings = "/Pending",
    },
    Row {
        vendor: "ami",
        model: "",
        product: "AMI MegaRAC SP-X",
        source: "DMTF/Redfish-Tacklebox #111 (boot); ansible-collections/community.general #6434 (BIOS)",
        set: |quirk| (quirk.boot_settings, quirk.bios_settings) = ("/SD", "/SD"),
    },
    Row {
        vendor: "asrock",
        model: "",
        product: "ASRockRack WRX80 Creator R2.0 (AMI)",
        source: "DMTF/Redfish-Tacklebox #144",
        set: |quirk| (quirk.boot_settings, quirk.bios_settings) = ("/SD", "/SD"),
    },
    Row {
        vendor: "giga",
        model: "",
        product: "GIGABYTE R183 (AMI)",
        source: "ansible-collections/community.general #6434",
        set: |quirk| (quirk.boot_settings, quirk.bios_settings) = ("/SD", "/SD"),
    },
    Row {
        vendor: "lenovo",
        model: "sr655",
        product: "Lenovo ThinkSystem SR655 (AMI)",
        // An AMI service under Lenovo's name; what it is asked for elsewhere it refuses, and is then asked for here.
        source: "stmcginnis/gofish #171",
        set: |quirk| quirk.boot_settings = "/SD",
    },
];

pub(super) fn of(root: &Value, system: &Value) -> Quirk {
    let names = names(root, system);
    let model = system["Model"].as_str().unwrap_or_default().to_ascii_lowercase();
    let mut quirk = PLAIN.clone();
    let matching = |row: &&Row| names.iter().any(|name| name.starts_with(row.vendor)) && model.contains(row.model);
    ROWS.iter().filter(matching).for_each(|row| (row.set)(&mut quirk));
    quirk
}

/// The vendor's names, wherever a service says them, in lower case.
fn names(root: &Value, system: &Value) -> Vec<String> {
    let oem = root["Oem"].as_object().into_iter().flat_map(|oem| oem.keys().map(String::as_str));
    let told = [&root["Vendor"], &system["Manufacturer"]].into_iter().filter_map(Value::as_str);
    told.chain(oem).map(str::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn vendors_are_found_wherever_they_are_named() {
        let dell = [
            (json!({ "Vendor": "Dell" }), json!({})),
            (json!({ "Vendor": null, "Oem": { "Dell": {} } }), json!({})),
            (json!({}), json!({ "Manufacturer": "Dell Inc." })),
        ];
        for (root, system) in &dell {
            assert_eq!(of(root, system).led_on, "Blinking");
        }
        assert_eq!(of(&json!({ "Vendor": null }), &Value::Null), PLAIN);
        assert_eq!(of(&json!({ "Oem": { "Hp": {} } }), &Value::Null).own_nics[0], "NIC.Embedded");
    }

    #[test]
    fn every_row_has_a_source_and_reaches_the_product_it_names_and_does_something() {
        for row in ROWS {
            assert!(row.source.contains('/') && row.source.len() > 10, "{}", row.product);
            let product = row.product.to_ascii_lowercase();
            assert!(product.starts_with(row.vendor) && product.contains(row.model), "{}", row.product);
            let mut changed = PLAIN.clone();
            (row.set)(&mut changed);
            assert_ne!(changed, PLAIN, "{} changes nothing", row.product);
            // Everything else the same, the service is another with the row than without.
            let system = json!({ "Manufacturer": row.product, "Model": row.product });
            assert_ne!(of(&Value::Null, &system), PLAIN, "{}", row.product);
        }
    }
}
