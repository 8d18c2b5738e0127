//! `docs/reference/http.md`, `status-branch.md` and `metrics.md`: what a running server says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use rackwright::model::{Policy, World};
use rackwright::serve::{dhcp, tftp};
use serde_json::{Value, json};

use super::generated::{code, hold, table};
use super::{page, repository, root};
use crate::rig::http::{NOW, Rig, settings};
use crate::rig::repo::{read_tree, subnet, valid};

/// A server that has something to say about everything.
async fn server() -> Rig {
    let mut policy = Policy::default();
    policy.site.subnets.push(subnet([192, 0, 2]));
    let mut world = World::new(Arc::new(policy));
    world.desired = Some(Arc::new(valid(&read_tree(&root().join("repo-schema/example")))));
    world.adopted = true;
    (world.git.fetched_at, world.git.published_at) = (Some(NOW), Some(NOW));
    Rig::counting(settings(), world, vec![dhcp::counters::new(), tftp::counters::new()]).await
}

#[tokio::test]
async fn the_api_and_the_status_files_are_documented() {
    let document = server().await.get("/api/v1/openapi.json").await.json();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let whole = json!({ "$defs": schemas });
    let mut shown = String::new();
    for (name, schema) in schemas {
        let _ = writeln!(shown, "### {name}\n");
        let about = schema["description"].as_str().unwrap_or_default();
        if !about.is_empty() {
            let _ = writeln!(shown, "{about}\n");
        }
        let reference = json!({ "$ref": format!("#/{name}") });
        let text = match name.as_str() {
            "Reason" => repository::kind(&reference, &whole) + "\n",
            _ => object(schema, &whole),
        };
        let _ = writeln!(shown, "{text}");
    }
    hold("docs/reference/http.md", &[("api", paths(&document)), ("schemas", shown)]);
}

/// An object's keys, or the words of a list.
fn object(schema: &Value, whole: &Value) -> String {
    let keys = repository::keys(schema, whole);
    if !keys.is_empty() {
        return keys;
    }
    let parts: Vec<String> = match schema["allOf"].as_array() {
        Some(parts) => parts.iter().map(|part| object(part, whole)).collect(),
        None => vec![format!("{}\n", repository::kind(schema, whole))],
    };
    parts.join("\n")
}

fn paths(document: &Value) -> String {
    let all = document["paths"].as_object().expect("paths");
    let rows = all.iter().map(|(path, operations)| {
        let read = &operations["get"];
        let queries = read["parameters"].as_array().into_iter().flatten().filter(|it| it["in"] == "query");
        let queries: Vec<String> = queries.filter_map(|it| it["name"].as_str()).map(code).collect();
        let content = read["responses"]["200"]["content"].as_object().and_then(|kinds| kinds.iter().next());
        let answer = content.map_or_else(String::new, |(kind, content)| {
            format!(
                "{kind}: {}",
                repository::kind(&content["schema"], &json!({ "$defs": document["components"]["schemas"] }))
            )
        });
        vec![
            code(&format!("GET {path}")),
            read["summary"].as_str().unwrap_or_default().to_owned(),
            if queries.is_empty() { "-".into() } else { queries.join(", ") },
            answer,
        ]
    });
    table(&["route", "answers", "query", "as"], rows)
}

/// Metric -> its labels, and for those of DHCP and TFTP, which are all known, their values.
type Labels<'t> = BTreeMap<&'t str, BTreeMap<&'t str, BTreeSet<String>>>;

#[tokio::test]
async fn the_metrics_are_documented() {
    let rig = server().await;
    rig.get("/healthz").await;
    rig.post("/checkin/host", b"{}").await;
    let text = rig.get("/metrics").await.text();
    let (mut helps, mut kinds, mut labels) = (Vec::new(), BTreeMap::new(), Labels::new());
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("#", rest)) if rest.starts_with("HELP ") => helps.extend(rest[5..].split_once(' ')),
            Some(("#", rest)) if rest.starts_with("TYPE ") => kinds.extend(rest[5..].split_once(' ')),
            Some((series, _)) => {
                let (name, inner) = series.split_once('{').unwrap_or((series, ""));
                let names = labels.entry(name.trim_end_matches("_total")).or_default();
                let parts = inner.trim_end_matches('}').split(',').filter_map(|label| label.split_once("=\""));
                let counts_outcomes = matches!(name.split('_').nth(1), Some("dhcp" | "tftp"));
                for (label, value) in parts {
                    let values = names.entry(label).or_default();
                    values.extend(counts_outcomes.then(|| code(value.trim_end_matches('"'))));
                }
            }
            None => {}
        }
    }
    let rows = helps.into_iter().map(|(name, help)| {
        let kind = kinds.get(name).copied().unwrap_or_default();
        let total = if kind == "counter" { "_total" } else { "" };
        let labels = labels.get(name).into_iter().flatten().map(|(label, values)| match values.is_empty() {
            true => (*label).to_owned(),
            false => format!("{label}: {}", values.iter().cloned().collect::<Vec<_>>().join(", ")),
        });
        let labels = labels.collect::<Vec<_>>().join("; ");
        vec![code(&format!("{name}{total}")), kind.into(), help.into(), labels]
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    hold("docs/reference/metrics.md", &[("metrics", table(&["metric", "type", "meaning", "labels"], rows))]);
}

#[test]
fn every_route_is_documented() {
    let text = page("docs/reference/http.md");
    let told: BTreeSet<&str> = text.split('`').filter_map(|word| word.split_once(' ')).map(|(_, path)| path).collect();
    let mut dirs = vec![root().join("src/serve")];
    let mut missing = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("src/serve") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let source = std::fs::read_to_string(path).expect("text");
            let routes = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
            missing.extend(routes.filter(|route| !told.contains(route)).map(str::to_owned));
        }
    }
    assert_eq!(missing, Vec::<String>::new(), "routes that docs/reference/http.md does not name");
}
