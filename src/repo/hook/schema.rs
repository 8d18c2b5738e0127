//! The arguments of the shipped hooks as JSON Schema, generated from their definitions.
//!
//! A site's own hooks may have any arguments there: an editor checks what is shipped, `rackwright validate` everything.

use serde_json::{Map, Value, json};

use super::definition::{Argument, Definition};
use super::directory;
use super::kind::Kind;

/// Adds to the schema of `bootstrap.yml` what the shipped types of hooks take.
pub fn known_types(mut schema: Value) -> Value {
    let mut rules = Vec::new();
    for (name, definition) in directory::shipped() {
        let Some(definition) = definition else { continue };
        let args = format!("{name}-args");
        rules.push(json!({
            "if": { "properties": { "type": { "const": name } }, "required": ["type"] },
            "then": { "properties": { "args": { "$ref": format!("#/$defs/{args}") } } },
        }));
        schema["$defs"][args.as_str()] = arguments(definition);
    }
    let names: Vec<_> = directory::shipped().keys().collect();
    schema["$defs"]["Hook"]["allOf"] = rules.into();
    schema["$defs"]["Hook"]["properties"]["type"]["examples"] = json!(names);
    schema
}

/// `args:` of a type of hook.
fn arguments(definition: &Definition) -> Value {
    let properties: Map<_, _> =
        definition.args.iter().map(|argument| (argument.name.clone(), property(argument))).collect();
    // Arguments that count only for some values of others are the reader's business.
    let always = definition.args.iter().filter(|argument| argument.required && argument.when.is_empty());
    let required: Vec<_> = always.map(|argument| argument.name.as_str()).collect();
    let mut schema = json!({
        "description": definition.description,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    if !definition.one_of.is_empty() {
        let groups = definition.one_of.iter().map(|group| json!({ "required": group }));
        schema["oneOf"] = groups.collect();
    }
    schema
}

fn property(argument: &Argument) -> Value {
    let mut schema = kind(&argument.kind);
    schema["description"] = argument.description.as_str().into();
    if let Some(default) = &argument.default {
        schema["default"] = default.clone();
    }
    schema
}

fn kind(kind: &Kind) -> Value {
    // Jinja may stand for anything that is not a list, and a secret too.
    let jinja = json!({ "type": "string", "pattern": "\\{\\{" });
    let or_jinja = |schema: Value| json!({ "anyOf": [schema, jinja] });
    match kind {
        Kind::Text | Kind::Script => json!({ "type": "string" }),
        Kind::Line => json!({ "type": ["string", "integer"] }),
        Kind::Word | Kind::Disk | Kind::Path | Kind::File | Kind::Replication => {
            json!({ "type": "string", "minLength": 1 })
        }
        Kind::Uri => json!({ "type": "string", "format": "uri" }),
        Kind::Address(version) => or_jinja(match version {
            Some(4) => json!({ "type": "string", "format": "ipv4" }),
            Some(_) => json!({ "type": "string", "format": "ipv6" }),
            None => json!({ "type": "string" }),
        }),
        Kind::Network(_) => json!({ "type": "string", "pattern": "/|\\{\\{" }),
        Kind::Boolean => or_jinja(json!({ "$ref": "#/$defs/YesNo" })),
        Kind::Number(min, max, words) => {
            let digits = json!({ "type": "string", "pattern": "^[0-9]+$" });
            one_of_words(vec![json!({ "type": "integer", "minimum": min, "maximum": max }), digits, jinja], words)
        }
        Kind::Float(min, max, words) => {
            one_of_words(vec![json!({ "type": "number", "minimum": min, "maximum": max }), jinja], words)
        }
        Kind::Choice(words, false) => or_jinja(json!({ "enum": words })),
        Kind::Choice(words, true) => {
            let lower = words.iter().map(|word| word.to_lowercase());
            or_jinja(json!({ "enum": words.iter().cloned().chain(lower).collect::<Vec<_>>() }))
        }
        Kind::List(items) => json!({ "type": "array", "items": self::kind(items) }),
        Kind::Mode => json!({
            "description": "Octal permission bits: \"0600\", 0o600 or \"0o600\".",
            "anyOf": [{ "type": "string", "pattern": "^(0o|0)?[0-7]{3,4}$|\\{\\{" }, { "type": "integer" }],
        }),
        Kind::Json => json!({}),
    }
}

fn one_of_words(mut schemas: Vec<Value>, words: &[String]) -> Value {
    if !words.is_empty() {
        schemas.push(json!({ "enum": words }));
    }
    json!({ "anyOf": schemas })
}
