//! `docs/reference/repository.md`: the keys of the repository's files, from their JSON Schemas; and shipped hooks.

use std::fmt::Write as _;

use rackwright::repo::file::schemas;
use serde_json::Value;

use super::generated::{code, hold, table};

/// Schema -> heading of its file.
const FILES: [&str; 6] = ["clusters", "base", "pvc", "bootstrap", "installer", "hook"];

#[test]
fn the_repositorys_keys_are_documented() {
    let all = schemas();
    let mut names: Vec<&str> = FILES.into();
    names.sort_unstable();
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), names, "every schema has its place on the page");
    let parts: Vec<(&str, String)> = FILES.into_iter().map(|name| (name, file(&all[name]))).collect();
    hold("docs/reference/repository.md", &parts);
}

/// All objects of a schema: the file's own first, then those that it is made of.
fn file(schema: &str) -> String {
    let schema: Value = serde_json::from_str(schema).expect("JSON");
    let mut text = format!("{}\n\n", sentence(&schema));
    text.push_str(&keys(&schema, &schema));
    for (name, part) in schema["$defs"].as_object().into_iter().flatten() {
        if let Some(hook) = name.strip_suffix("-args") {
            let _ = writeln!(text, "\n#### args of {}\n\n{}\n\n{}", code(hook), sentence(part), keys(part, &schema));
        } else if part.get("properties").is_some() {
            let _ = writeln!(text, "\n#### {name}\n\n{}\n\n{}", sentence(part), keys(part, &schema));
        }
    }
    text
}

fn sentence(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

/// The keys of an object as a table; `whole` has the named parts under `$defs`.
pub fn keys(object: &Value, whole: &Value) -> String {
    let mut rows = Vec::new();
    collect("", object, whole, &mut rows);
    if rows.is_empty() { String::new() } else { table(&["key", "value", "meaning"], rows) }
}

/// Objects without a name of their own are shown in place: `tasks[].id`.
fn collect(prefix: &str, object: &Value, whole: &Value, rows: &mut Vec<Vec<String>>) {
    let required: Vec<&str> = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, schema) in object["properties"].as_object().into_iter().flatten() {
        let must = if required.contains(&name.as_str()) { " (required)" } else { "" };
        let name = format!("{prefix}{name}");
        rows.push(vec![format!("{}{must}", code(&name)), kind(schema, whole), meaning(schema, whole)]);
        collect(&format!("{name}."), schema, whole, rows);
        collect(&format!("{name}[]."), &schema["items"], whole, rows);
        for choice in schema["oneOf"].as_array().into_iter().flatten() {
            collect(&format!("{name}."), choice, whole, rows);
        }
    }
}

/// Words of a list that are told in place; a longer one is a page of its own.
const FEW: usize = 20;

/// The words that a part of the schema allows, when it is such a list.
fn words<'s>(name: &str, whole: &'s Value) -> &'s [Value] {
    whole["$defs"][name]["oneOf"].as_array().map_or(&[], Vec::as_slice)
}

/// What a value looks like, in words.
pub fn kind(schema: &Value, whole: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or_default();
        let part = &whole["$defs"][name];
        return match () {
            () if name == "YesNo" => "yes or no".into(),
            () if words(name, whole).len() > FEW => format!("[{name}]({}s.md)", name.to_lowercase()),
            () if part.get("properties").is_some() || part.get("allOf").is_some() => {
                format!("[{name}](#{})", name.to_lowercase())
            }
            () => kind(part, whole),
        };
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(list) = schema[choice].as_array() {
            let kinds: Vec<String> =
                list.iter().filter(|item| item["type"] != "null").map(|item| kind(item, whole)).collect();
            return kinds.join(", ");
        }
    }
    if schema["const"] == "" {
        return "empty text".into();
    }
    if schema["format"] == "date-time" {
        return "time (RFC 3339)".into();
    }
    if let Some(word) = schema.get("const") {
        return code(&word.to_string().replace('"', ""));
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(|word| code(&word.to_string().replace('"', ""))).collect::<Vec<_>>().join(", ");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect(),
        _ => Vec::new(),
    };
    match types[..] {
        ["array"] if schema["items"].is_object() => format!("list of {}", kind(&schema["items"], whole)),
        ["array"] => "list".into(),
        ["object"] => match &schema["additionalProperties"] {
            value @ Value::Object(_) if value.get("$ref").is_some() || value.get("type").is_some() => {
                format!("mapping to {}", kind(value, whole))
            }
            _ => "mapping".into(),
        },
        ["string"] => "text".into(),
        ["integer"] => "whole number".into(),
        [] => "anything".into(),
        _ => types.join(" or ").replace("string", "text"),
    }
}

/// The description and, for a word out of a list, what each of them means.
fn meaning(schema: &Value, whole: &Value) -> String {
    let mut text = sentence(schema).to_owned();
    let part = std::iter::once(schema).chain(schema["anyOf"].as_array().into_iter().flatten());
    for name in part.filter_map(|part| part["$ref"].as_str()) {
        let name = name.rsplit('/').next().unwrap_or_default();
        let words = Some(words(name, whole)).filter(|words| words.len() <= FEW).into_iter().flatten();
        let told: Vec<String> = words
            .filter_map(|word| {
                Some(format!("{}: {}", code(word["const"].as_str()?), sentence(word).trim_end_matches('.')))
            })
            .collect();
        if !told.is_empty() {
            let _ = write!(text, " {}.", told.join("; "));
        }
    }
    text
}
