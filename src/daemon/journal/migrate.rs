//! What a journal of 0.1.0 (layout 1) says, in today's words. Its events read as they are; its snapshot was a list of the
//! World's fields, with what was under way and what had failed in a field for each kind of action.

use serde_json::{Map, Value, json};

/// A snapshot of layout 1 as one of layout 2.
pub(super) fn snapshot(mut old: Value) -> Value {
    let mut lanes = Vec::new();
    let adopted = old["adopted"] == true;
    let fetch = json!(if adopted { "fetch" } else { "adopt" });
    let publish = json!({"publish": {"fingerprint": 0, "moves_upto": 0, "intents": [], "tasks": []}});
    let git = &mut old["git"];
    lane(&mut lanes, json!("fetch"), since(&git["fetching"], fetch), &git["fetch_failure"]);
    lane(&mut lanes, json!("publish"), since(&git["publishing"], publish), &git["publish_failure"]);
    git["commit_status"] = forge(&mut lanes, Value::Null, &git["commit_status"]);
    for (name, facts) in entries(&mut old["notices"]["receivers"]) {
        let notify = json!({"notify": {"receiver": name, "moves_upto": 0, "notices": []}});
        lane(&mut lanes, json!({"receiver": name}), since(&facts["sending"], notify), &facts["failure"]);
    }
    for (digest, facts) in entries(&mut old["images"]) {
        let fetch = since(&facts["doing"], json!({"fetch-image": {"image": digest}}));
        lane(&mut lanes, json!({"image": digest}), fetch, &facts["failure"]);
        *facts = facts["verified"].take();
    }
    if let Value::Object(images) = &mut old["images"] {
        images.retain(|_, verified| !verified.is_null());
    }
    entries(&mut old["hosts"]).for_each(|(id, facts)| host(&mut lanes, id, facts));
    entries(&mut old["clusters"]).for_each(|(name, facts)| cluster(&mut lanes, name, facts));
    old["lanes"] = Value::Array(lanes);
    json!({"revision": old["revision"].take(), "leases": old["leases"].take(), "facts": old})
}

fn entries(map: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    map.as_object_mut().into_iter().flatten()
}

/// What is under way since `since`, if anything is.
fn since(since: &Value, action: Value) -> Value {
    if since.is_null() { Value::Null } else { json!({"action": action, "since": since}) }
}

fn lane(lanes: &mut Vec<Value>, lane: Value, doing: Value, failure: &Value) {
    let work: Map<String, Value> = [("doing", doing), ("failure", failure.clone())]
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect();
    if work.values().any(|value| !value.is_null()) {
        lanes.push(json!([lane, work]));
    }
}

/// What the forge was told last.
fn forge(lanes: &mut Vec<Value>, cluster: Value, old: &Value) -> Value {
    let told = &old["told"];
    let tell = json!({"tell-forge": {"cluster": cluster, "status": told}});
    // Which status was on its way is not known: the last one stands for it, for nobody asks.
    let doing = if told.is_null() { Value::Null } else { since(&old["telling"], tell) };
    lane(lanes, json!({"forge": cluster}), doing, &old["failure"]);
    if told.is_null() { Value::Null } else { json!({"status": told, "at": old["told_at"]}) }
}

fn host(lanes: &mut Vec<Value>, id: &str, facts: &mut Value) {
    lane(lanes, json!({"bmc": id}), facts["doing"].take(), &facts["failure"]);
    let reach = since(&facts["ssh"]["reaching"], json!({"reach": {"host": id}}));
    lane(lanes, json!({"ssh": id}), reach, &facts["ssh"]["failure"]);
    facts["prepared"] = nth(&facts["prepared"], 0);
    named(&mut facts["armed"], ["generation", "at", "times"]);
    named(&mut facts["booted"], ["install", "value"]);
    named(&mut facts["finished"], ["install", "value"]);
    if let [install, at, times] = facts["cycled"].as_array().map_or(&[][..], Vec::as_slice) {
        facts["cycled"] = json!({"install": install, "value": {"at": at, "times": times}});
    }
    for fact in ["key", "before", "configured"] {
        named(&mut facts["ssh"][fact], ["install", "value"]);
    }
    named(&mut facts["bmc"]["pending"], ["pending", "since", "times", "looked"]);
}

fn cluster(lanes: &mut Vec<Value>, name: &str, facts: &mut Value) {
    let mut doing = facts["doing"].take();
    if doing.is_object() {
        doing["revision"] = facts["doing_at"].take();
    }
    lane(lanes, json!({"task": name}), doing, &Value::Null);
    let generated = &facts["generated"];
    let (id, revision) = (&generated["id"], &generated["revision"]);
    let push = json!({"write-back": {"cluster": name, "generated": id, "revision": revision}});
    lane(lanes, json!({"write-back": name}), since(&generated["pushing"], push), &generated["failure"]);
    facts["commit_status"] = forge(lanes, json!(name), &facts["commit_status"]);
    for (_, record) in entries(&mut facts["tasks"]) {
        let (mut failure, run) = (nth(&record["failure"], 0), nth(&record["failure"], 1));
        if failure.is_object() {
            failure["run"] = run;
        }
        record["failure"] = failure;
    }
}

/// An element of a list; null of anything else.
fn nth(list: &Value, index: usize) -> Value {
    list.get(index).cloned().unwrap_or_default()
}

/// Turns a list into an object with these keys; leaves anything else as it is.
fn named<const N: usize>(value: &mut Value, keys: [&str; N]) {
    if let Value::Array(list) = value {
        let pairs = keys.into_iter().map(str::to_owned).zip(list.iter_mut().map(Value::take));
        *value = Value::Object(pairs.collect());
    }
}
