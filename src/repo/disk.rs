//! The disk a machine is installed to: `config.system_disks` or `config.disk_hints`.

use super::file::KEYS;
use super::host::{Defaults, Draft};
use super::read::{Fields, Reader};
use crate::model::desired::DISK_MARK;
use crate::model::{DiskChoice, Protocol};
use crate::yaml::{Node, Place};

/// `system_disks` or `disk_hints`, at most one of them.
pub fn disks(reader: &mut Reader<'_>, fields: &Fields<'_>, draft: &mut Draft, defaults: &Defaults<'_>) {
    match (fields.get("system_disks"), fields.get("disk_hints")) {
        (Some(_), Some(hints)) => {
            let message = "`config.system_disks` and `config.disk_hints` both choose the disk";
            reader.error(hints.place, "two-disk-choices", message, "keep one of them");
        }
        (Some(list), None) => system_disks(reader, list, draft),
        (None, Some(hints)) => {
            let place = fields.place_of("disk_hints");
            draft.config.disks = disk_hints(reader, hints, place).into_iter().collect();
        }
        (None, None) if defaults.needs_disk => {
            reader.need(fields, "system_disks", "name the disk to install to, as \"/dev/disk/by-id/…\"");
        }
        (None, None) => {}
    }
}

fn system_disks(reader: &mut Reader<'_>, list: &Node, draft: &mut Draft) {
    let Some(disks) = reader.lines(list, "config.system_disks") else { return };
    for (disk, place) in &disks {
        if let Err(hint) = check_disk(disk) {
            reader.error(*place, "bad-disk", format!("`{disk}` does not name a disk to install to"), hint);
        }
    }
    match disks.as_slice() {
        [] if list.list().is_some_and(|items| items.is_empty()) => {
            reader.error(list.place, "bad-disk", "`config.system_disks` is empty", "name the disk to install to");
        }
        [_, (_, place), ..] if disks.len() > 2 || !disks.iter().all(|(disk, _)| is_slot(disk)) => {
            let hint = "one path or detect string, or two chassis slots (\"0\", \"1\") for a RAID-1";
            reader.error(*place, "too-many-disks", "these disks cannot be installed to together", hint);
        }
        [(first, _), (second, place)] if number(first) == number(second) => {
            reader.error(*place, "bad-disk", format!("slot `{second}` is named twice"), "a RAID-1 takes two drives");
        }
        [(first, _), (second, _)] => {
            draft.config.choice = DiskChoice::Mirror([first, second].map(|slot| number(slot)));
        }
        [(only, _)] if is_slot(only) => draft.config.choice = DiskChoice::Slot(number(only)),
        _ => {}
    }
    draft.config.disks = disks.into_iter().map(|(disk, _)| disk).collect();
}

/// The number of a bay, or of a box and a bay in it.
fn is_slot(text: &str) -> bool {
    let number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split(':').count() <= 2 && text.split(':').all(number)
}

/// A slot without leading zeros.
fn number(slot: &str) -> String {
    let plain = |part: &str| {
        let digits = part.trim_start_matches('0');
        if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
    };
    slot.split(':').map(plain).collect::<Vec<_>>().join(":")
}

/// What only makes sense together: slots are looked up by Redfish, and volumes are in the way only there.
pub fn check_wipe(reader: &mut Reader<'_>, draft: &Draft) {
    let (config, protocol) = (&draft.config, draft.bmc.protocol);
    if config.choice != DiskChoice::Named && matches!(protocol, Protocol::None | Protocol::Ipmi) {
        let message = "a disk can be chosen by its chassis slot over Redfish only, and this BMC is driven otherwise";
        let hint = "name the disk by path, or as detect:NAME:SIZE:INDEX";
        reader.error(draft.place, "needs-redfish", message, hint);
    }
    if let (Some(place), DiskChoice::Named) = (config.wipe_volumes, &config.choice) {
        let message = "`config.wipe: volumes` has no effect: no disk is chosen by its chassis slot";
        reader.warning(place, "without-effect", message, "remove it, or write `system_disks: [\"0\"]`");
    }
}

/// The disk as boot files name it: a slot's is known only once its BMC was asked.
pub fn in_files(draft: &Draft) -> &str {
    match &draft.config.choice {
        DiskChoice::Named => draft.config.disks.first().map(String::as_str).unwrap_or_default(),
        DiskChoice::Slot(_) | DiskChoice::Mirror(_) => DISK_MARK,
    }
}

/// Whether PVC's installer can find this disk (its `detect.py` splits at every colon and every space).
pub fn check_disk(text: &str) -> Result<(), &'static str> {
    if let Some(rest) = text.strip_prefix("detect:") {
        let parts: Vec<_> = rest.split(':').collect();
        let [name, size, index] = parts.as_slice() else {
            return Err("a detect string has four parts: detect:NAME:SIZE:INDEX");
        };
        if name.is_empty() || text.contains(char::is_whitespace) {
            return Err("the name in a detect string is one word; the installer cannot take spaces");
        }
        if !is_size(size) {
            return Err("the size is a number with a unit, as 480GB or 1.92TB");
        }
        let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
        return if digits { Ok(()) } else { Err("the index of equal disks is a number, from 0") };
    }
    if let Some(path) = text.strip_prefix("/dev/") {
        let fine = !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_graphic()) && !path.contains("..");
        return if fine { Ok(()) } else { Err("a device path has no spaces, as /dev/disk/by-id/…") };
    }
    let hint =
        "write a /dev/… path, detect:NAME:SIZE:INDEX, or a chassis slot such as \"0\", or \"3:1\" for bay 1 of box 3";
    if is_slot(text) { Ok(()) } else { Err(hint) }
}

fn is_size(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    digits.parse::<f64>().is_ok_and(|size| size > 0.0) && matches!(unit, "kB" | "MB" | "GB" | "TB" | "PB")
}

/// The `target_disk` that hints amount to.
fn disk_hints(reader: &mut Reader<'_>, node: &Node, place: Place) -> Option<String> {
    let fields = reader.fields(node, place, "config.disk_hints", &KEYS.disk_hints)?;
    // A bare 0x5000c5… is a number to YAML, but can only be meant as it is written.
    let is_hex = |node: &Node| node.scalar().is_some_and(|(text, _)| text.starts_with("0x"));
    let mut text = |key: &str| {
        let node = fields.get(key)?;
        Some(match node.scalar() {
            Some((text, true)) if is_hex(node) => {
                reader.line(&Node::scalar_at(node.place, text, false), &fields.name(key))
            }
            _ => reader.line(node, &fields.name(key)),
        })
    };
    let (wwn, model, size) = (text("wwn"), text("model"), text("size"));
    let index = fields.get("index").map(|node| reader.number(node, "config.disk_hints.index", 0, 999));
    let disk = match (wwn, model, size) {
        (Some(wwn), None, None) if index.is_none() => {
            format!("/dev/disk/by-id/wwn-{}", wwn?.trim_start_matches("wwn-"))
        }
        (None, Some(model), Some(size)) => format!("detect:{}:{}:{}", model?, size?, index.unwrap_or(Some(0))?),
        _ => {
            let hint = "either `wwn` alone, or `model` and `size` (and `index`, when several disks are equal)";
            reader.error(place, "bad-disk", "`config.disk_hints` does not choose one disk", hint);
            return None;
        }
    };
    if let Err(hint) = check_disk(&disk) {
        reader.error(place, "bad-disk", format!("`config.disk_hints` amounts to `{disk}`, which names no disk"), hint);
        return None;
    }
    Some(disk)
}
