//! Reading resources: whatever a service leaves out, sets to null or writes otherwise is done without.

use std::collections::HashSet;

use serde_json::Value;

use super::super::text::{clip, meaningful};

/// Members of a collection that are looked at.
pub(super) const MEMBERS: usize = 64;

pub(super) fn link(value: &Value) -> Option<&str> {
    value["@odata.id"].as_str()
}

/// The paths in a list of links, each once.
pub(super) fn links(list: &Value) -> Vec<String> {
    once(array(list).iter().filter_map(link).map(str::to_owned).collect())
}

/// Each path once, in their order, and not too many.
pub(super) fn once(mut paths: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    paths.retain(|path| seen.insert(path.trim_end_matches('/').to_owned()));
    paths.truncate(MEMBERS);
    paths
}

/// Whether two paths are the same resource: iLO writes some with a slash at the end, and some without.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

/// The last part of a resource's path: what the vendor calls it.
pub(super) fn name_of(path: &str) -> String {
    clip(path.trim_end_matches('/').rsplit('/').next().unwrap_or_default())
}

pub(super) fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn strings(value: &Value) -> Option<Vec<String>> {
    Some(value.as_array()?.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
}

/// A text that says something: not null, not blank.
pub(super) fn text(value: &Value) -> Option<String> {
    meaningful(value.as_str()?)
}

/// A whole number, also when it is written with a point.
pub(super) fn number(value: &Value) -> Option<u64> {
    let real = || value.as_f64().filter(|real| (0.0..1e18).contains(real)).map(|real| real.round() as u64);
    value.as_u64().or_else(real).filter(|number| *number < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_read_however_they_are_written() {
        let read = [json!(31.875), json!(512), json!("512"), json!(-1), json!(1e40), Value::Null].map(|v| number(&v));
        assert_eq!(read, [Some(32), Some(512), None, None, None, None]);
    }
}
