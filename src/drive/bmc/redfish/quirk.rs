//! One row per vendor's oddity.

use serde_json::Value;

/// How a vendor's service differs from what DSP0266 and the schemas lead one to expect.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Quirk {
    /// Begins the vendor's name (`Vendor` or the first key of `Oem` in the root, else `Manufacturer`), any case.
    pub vendor: &'static str,
    /// `IndicatorLED` for "look here".
    pub led_on: &'static str,
    /// `IndicatorLED` for "nothing".
    pub led_off: &'static str,
}

const ROWS: &[Quirk] = &[
    // An iDRAC's LED is lit in normal operation and cannot be off; a recorded tree of an R750 (iDRAC9 6.00.30.00)
    // reads `Lit` at rest, and PVC's bootstrap daemon uses `Blinking` and `Lit` (its redfish.py).
    Quirk { vendor: "dell", led_on: "Blinking", led_off: "Lit" },
    // Everybody else, as in ComputerSystem v1_x `IndicatorLED`: iLO 5 2.72, Supermicro X13, Lenovo XCC and AMI in
    // recorded trees read `Off` at rest.
    Quirk { vendor: "", led_on: "Lit", led_off: "Off" },
];

/// The row for a service.
pub(super) fn of(root: &Value, system: &Value) -> &'static Quirk {
    let name = root["Vendor"]
        .as_str()
        .filter(|name| !name.is_empty())
        .or_else(|| root["Oem"].as_object()?.keys().next().map(String::as_str))
        .or_else(|| system["Manufacturer"].as_str())
        .unwrap_or("")
        .to_ascii_lowercase();
    let last = &ROWS[ROWS.len() - 1];
    ROWS.iter().find(|row| name.starts_with(row.vendor)).unwrap_or(last)
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
        assert_eq!(of(&json!({ "Vendor": null }), &Value::Null).led_off, "Off");
    }
}
