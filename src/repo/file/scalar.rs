//! Scalars in the spellings that YAML 1.1 taught people.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

/// A boolean as YAML 1.1 writes it.
#[derive(Serialize)]
pub struct YesNo;

impl JsonSchema for YesNo {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "YesNo".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A boolean; unquoted `yes`, `no`, `on` and `off` are booleans too.",
            "enum": [true, false, "yes", "no", "on", "off", "Yes", "No", "On", "Off", "YES", "NO", "ON", "OFF"],
        })
    }
}

/// Text or a number or a boolean.
#[derive(Serialize)]
pub struct Scalar;

impl JsonSchema for Scalar {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// A whole number, quoted or not.
#[derive(Serialize)]
pub struct Number;

impl JsonSchema for Number {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Number".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": "^[0-9]+$" }] })
    }
}

/// File permission bits.
#[derive(Serialize)]
pub struct Mode;

impl JsonSchema for Mode {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Mode".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Octal permission bits: \"0600\", 0o600 or \"0o600\". A bare 600 is refused: it means something else.",
            "anyOf": [{ "type": "string", "pattern": "^(0o|0)?[0-7]{3,4}$" }, { "type": "integer" }],
        })
    }
}
