//! `GET /api/v1/openapi.json`: what the API answers, for programs (OpenAPI 3.1). The schemas come from the types that are
//! answered; their doc comments are the descriptions.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use super::chain::Traced;
use super::events::Transition;
use super::rack::Rack;
use crate::model::HostState;
use crate::model::status::{ClusterStatus, HostStatus};

/// A refusal.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Message {
    message: String,
}

/// The document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut types = settings.with(|it| it.definitions_path = "/components/schemas".into()).into_generator();
    let paths = paths(&mut types);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "rackwright status",
            "version": "1",
            "description": "Read-only status of the rack; the fields are those of the status branch's files."
        },
        "paths": paths,
        "components": { "schemas": types.take_definitions(true) }
    })
}

fn paths(types: &mut SchemaGenerator) -> Value {
    let word = |name: &str| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    let (cluster, host) = (word("cluster"), word("host"));
    let filters = json!([
        { "name": "cluster", "in": "query", "description": "only this cluster's", "schema": { "type": "string" } },
        { "name": "state", "in": "query", "description": "only in this state", "schema": of::<HostState>(types) }
    ]);
    let resume = json!([{
        "name": "Last-Event-ID", "in": "header", "description": "number of the last change seen",
        "schema": { "type": "integer" }
    }]);
    json!({
        "/api/v1/rack": read::<Rack>(types, "The rack as a whole", json!([]), &[]),
        "/api/v1/clusters": read::<Vec<ClusterStatus>>(types, "Every cluster", json!([]), &[]),
        "/api/v1/clusters/{cluster}": read::<ClusterStatus>(types, "One cluster", json!([cluster]), &["404"]),
        "/api/v1/hosts": read::<Vec<HostStatus>>(types, "Every host", filters, &["400"]),
        "/api/v1/hosts/{cluster}/{host}": read::<Traced>(types, "One host", json!([cluster, host]), &["404"]),
        "/api/v1/events": {
            "get": {
                "summary": "State changes as they happen",
                "description": "Server-Sent Events (data: a Transition, id: its seq): `transition` for each change of \
                    a host's state; `cluster`, `task`, `repository`, `condition` for theirs; `reset` (data: seq) when \
                    changes were missed for good.",
                "parameters": resume,
                "responses": {
                    "200": {
                        "description": "a stream",
                        "content": { "text/event-stream": { "schema": of::<Transition<'_>>(types) } }
                    },
                    "503": failure(types, "503")
                }
            }
        },
        "/api/v1/openapi.json": read::<BTreeMap<String, Value>>(types, "This document", json!([]), &[])
    })
}

fn of<T: JsonSchema>(types: &mut SchemaGenerator) -> Value {
    types.subschema_for::<T>().into()
}

fn failure(types: &mut SchemaGenerator, code: &str) -> Value {
    let description = match code {
        "400" => "the query is not understood",
        "404" => "not in the revision in force",
        _ => "too many listeners; come back later",
    };
    json!({ "description": description, "content": { "application/json": { "schema": of::<Message>(types) } } })
}

fn read<T: JsonSchema>(types: &mut SchemaGenerator, summary: &str, parameters: Value, failures: &[&str]) -> Value {
    let mut responses = json!({
        "200": { "description": "as it is now", "content": { "application/json": { "schema": of::<T>(types) } } }
    });
    for code in failures {
        responses[code] = failure(types, code);
    }
    json!({ "get": { "summary": summary, "parameters": parameters, "responses": responses } })
}
