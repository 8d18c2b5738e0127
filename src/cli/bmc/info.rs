//! `rackwright bmc HOST info`: who and what the machine is, as its BMC says now.

use std::io::Write;

use anstyle::Style;

use super::{Format, Scene, act, diag, endpoint};
use crate::cli::table::Table;
use crate::drive::bmc::manual::{
    self,
    types::{Depth, Look},
};
use crate::model::{HostSpec, size};

pub async fn info(scene: &Scene<'_>, spec: &HostSpec, out: &mut dyn Write) -> anyhow::Result<u8> {
    let endpoint = endpoint::endpoint(scene.settings, spec, scene.world, scene.args.force).map_err(act::said)?;
    let look = manual::look(&endpoint, Depth { log: 0, clock: crate::cli::now }).await.map_err(act::said)?;
    match scene.args.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&look)?)?,
        Format::Text => {
            writeln!(out, "{} by {} at {}", spec.id, diag::protocol(look.protocol), endpoint.address)?;
            table(&look).print(out)?;
        }
    }
    Ok(0)
}

fn table(look: &Look) -> Table {
    let mut table = Table::new(&["ABOUT", "FOUND"]);
    let mut row = |name: &str, text: Option<String>| {
        if let Some(text) = text {
            table.row([(name.to_owned(), Style::new()), (text, Style::new())]);
        }
    };
    let it = &look.inventory;
    let words = [&it.manufacturer, &it.model].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ");
    row("machine", Some(words).filter(|words| !words.is_empty()));
    row("SKU", it.sku.clone());
    row("serial", it.serial.clone());
    row("UUID", it.uuid.clone());
    row("BIOS", it.bios_version.clone());
    row("BMC firmware", it.bmc_version.clone());
    row("health", it.health.clone());
    row("power", it.power.map(|power| power.to_string()));
    row("next boot", look.boot.as_ref().map(act::boot_text));
    row("LED", look.led.clone());
    row("sessions", look.sessions.map(|count| count.to_string()));
    row("hardware", it.hardware());
    for nic in &it.nics {
        let link = nic.link.as_deref().map(|link| format!(", {link}")).unwrap_or_default();
        let boots = if it.boot_mac == Some(nic.mac) { ", boots from here" } else { "" };
        row("NIC", Some(format!("{}, {}{link}{boots}", nic.name, nic.mac)));
    }
    for drive in &it.drives {
        let slot = drive.slot.as_deref().map(|slot| format!("slot {slot}"));
        let bytes = drive.bytes.map(size);
        let parts = [&slot, &drive.model, &bytes, &drive.protocol, &drive.media, &drive.serial, &drive.health];
        row("drive", Some(listed(&drive.name, &parts)));
    }
    for volume in &it.volumes {
        let bytes = volume.bytes.map(size);
        let of = Some(volume.drives.join(" + ")).filter(|names| !names.is_empty()).map(|names| format!("of {names}"));
        row("volume", Some(listed(&volume.name, &[&volume.raid, &bytes, &of])));
    }
    table
}

fn listed(name: &str, parts: &[&Option<String>]) -> String {
    let known = parts.iter().filter_map(|part| part.as_deref());
    std::iter::once(name).chain(known).collect::<Vec<_>>().join(", ")
}
