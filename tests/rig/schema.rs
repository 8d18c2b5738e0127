//! Whether an answer of the API is what its OpenAPI document says: as much of JSON Schema as the document uses.

use std::net::IpAddr;

use rackwright::model::Time;
use rackwright::serve::api::openapi::document;
use serde_json::Value;

/// Holds the answer to `GET path` (a path of the document, with its `{…}`) against the document.
pub fn check(path: &str, answer: &Value) {
    let document = document();
    let content = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"];
    let schema = content.get("schema").unwrap_or_else(|| panic!("the document does not have {path}"));
    let wrong = differences(&document, schema, answer, "");
    assert!(wrong.is_empty(), "the answer to {path} is not what the document says: {wrong:#?}\n{answer:#}");
}

fn differences(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let Some(rules) = schema.as_object() else {
        // `true` takes everything, `false` (of `additionalProperties`) nothing.
        return if schema == &Value::Bool(true) { Vec::new() } else { vec![format!("{at} is not in the document")] };
    };
    let mut wrong = Vec::new();
    let mut expect = |fits: bool, what: &str| {
        if !fits {
            wrong.push(format!("{at}: {value} is not {what}"));
        }
    };
    let fits = |schema: &Value| differences(document, schema, value, at).is_empty();
    let mut inner = Vec::new();
    for (keyword, rule) in rules {
        let list = || rule.as_array().expect(keyword);
        match keyword.as_str() {
            "$ref" => {
                let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                inner.extend(differences(document, document.pointer(pointer).expect(pointer), value, at));
            }
            "type" => {
                let is = |name: &Value| is_a(value, name.as_str().unwrap());
                expect(rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is)), &rule.to_string());
            }
            "enum" => expect(list().contains(value), &rule.to_string()),
            "const" => expect(rule == value, &rule.to_string()),
            "minimum" => expect(value.as_f64() >= rule.as_f64(), "large enough"),
            "maximum" => expect(value.as_f64() <= rule.as_f64(), "small enough"),
            "format" => expect(has_format(value, rule.as_str().unwrap()), &rule.to_string()),
            "anyOf" => expect(list().iter().any(fits), &rule.to_string()),
            "oneOf" => expect(list().iter().filter(|it| fits(it)).count() == 1, &rule.to_string()),
            "allOf" => inner.extend(list().iter().flat_map(|it| differences(document, it, value, at))),
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                inner.extend(items.flat_map(|(n, it)| differences(document, rule, it, &format!("{at}/{n}"))));
            }
            // It is about objects only.
            "required" if value.is_object() => list()
                .iter()
                .for_each(|name| expect(value.get(name.as_str().unwrap()).is_some(), &format!("with {name}"))),
            "required" | "properties" | "additionalProperties" => {}
            "description" | "default" | "title" => {}
            other => panic!("{at}: the checker does not know `{other}`"),
        }
    }
    let (named, others) = (rules.get("properties"), rules.get("additionalProperties"));
    let closed = named.is_some() && others.is_none();
    for (key, field) in value.as_object().into_iter().flatten() {
        let at = format!("{at}/{key}");
        match named.and_then(|named| named.get(key)).or(others) {
            Some(schema) => inner.extend(differences(document, schema, field, &at)),
            None if closed => inner.push(format!("{at} is not in the document")),
            None => {}
        }
    }
    wrong.extend(inner);
    wrong
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("`{other}` is no type of JSON Schema"),
    }
}

fn has_format(value: &Value, format: &str) -> bool {
    let Some(text) = value.as_str() else { return true };
    match format {
        "date-time" => Time::parse(text).is_some(),
        "ip" | "ipv4" => text.parse::<IpAddr>().is_ok(),
        _ => true,
    }
}
