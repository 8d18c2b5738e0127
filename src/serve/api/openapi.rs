//! `GET /api/v1/openapi.json`: what the API answers, for programs (OpenAPI 3.1).

use serde_json::{Value, json};

/// The document.
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "rackwright status",
            "version": "1",
            "description": "Read-only status of the rack; the fields are those of the status branch's files."
        },
        "paths": paths(),
        "components": { "schemas": schemas() }
    })
}

fn paths() -> Value {
    let cluster = || json!({ "name": "cluster", "in": "path", "required": true, "schema": { "type": "string" } });
    let host = || json!({ "name": "host", "in": "path", "required": true, "schema": { "type": "string" } });
    let states = json!({ "$ref": "#/components/schemas/HostState" });
    let filters = json!([
        { "name": "cluster", "in": "query", "description": "only this cluster's", "schema": { "type": "string" } },
        { "name": "state", "in": "query", "description": "only in this state", "schema": states }
    ]);
    let resume = json!([{
        "name": "Last-Event-ID", "in": "header", "description": "number of the last change seen",
        "schema": { "type": "integer" }
    }]);
    json!({
        "/api/v1/rack": read("The rack as a whole", json!([]), one("Rack"), &[]),
        "/api/v1/clusters": read("Every cluster", json!([]), many("Cluster"), &[]),
        "/api/v1/clusters/{cluster}": read("One cluster", json!([cluster()]), one("Cluster"), &["404"]),
        "/api/v1/hosts": read("Every host", filters, many("Host"), &["400"]),
        "/api/v1/hosts/{cluster}/{host}": read("One host", json!([cluster(), host()]), one("TracedHost"), &["404"]),
        "/api/v1/events": {
            "get": {
                "summary": "State changes as they happen",
                "description": "Server-Sent Events (data: a Transition, id: its seq): `transition` for each change of \
                    a host's state; `cluster`, `task`, `repository` for theirs; `reset` (data: seq) when changes were \
                    missed for good.",
                "parameters": resume,
                "responses": {
                    "200": { "description": "a stream", "content": { "text/event-stream": { "schema": one("Transition") } } },
                    "503": failure("503")
                }
            }
        },
        "/api/v1/openapi.json": read("This document", json!([]), json!({ "type": "object" }), &[])
    })
}

fn one(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn many(schema: &str) -> Value {
    json!({ "type": "array", "items": one(schema) })
}

fn failure(code: &str) -> Value {
    let description = match code {
        "400" => "the query is not understood",
        "404" => "not in the revision in force",
        _ => "too many listeners; come back later",
    };
    json!({ "description": description, "content": { "application/json": { "schema": one("Message") } } })
}

fn read(summary: &str, parameters: Value, schema: Value, failures: &[&str]) -> Value {
    let mut responses = json!({
        "200": { "description": "as it is now", "content": { "application/json": { "schema": schema } } }
    });
    for code in failures {
        responses[code] = failure(code);
    }
    json!({ "get": { "summary": summary, "parameters": parameters, "responses": responses } })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

fn schemas() -> Value {
    let states: Vec<&str> = crate::model::HostState::ALL.iter().map(|state| state.as_str()).collect();
    json!({
        "HostState": { "type": "string", "enum": states },
        "Message": object(&["message"], json!({ "message": text() })),
        "Condition": object(&["status", "reason", "message"], json!({
            "status": { "type": "string", "enum": ["Ready", "Reconciling", "Stalled"] },
            "reason": text(), "message": text(), "until": time()
        })),
        "Finding": object(&["path", "line", "column", "severity", "code", "message"], json!({
            "path": text(), "line": { "type": "integer" }, "column": { "type": "integer" },
            "severity": { "type": "string", "enum": ["error", "warning"] },
            "code": text(), "message": text(), "hint": text()
        })),
        "Transition": object(&["seq", "at", "kind", "subject", "from", "to"], json!({
            "seq": { "type": "integer" }, "at": time(),
            "kind": { "type": "string", "enum": ["host", "cluster", "task", "repository"] }, "subject": text(), "from": text(), "to": text()
        })),
        "Endpoint": object(&[], json!({
            "mac": text(), "address": text(), "certificate": text(), "protocol": { "enum": ["redfish", "ipmi"] }
        })),
        "Install": object(&["id", "generation", "spec", "at"], json!({
            "id": text(), "generation": { "type": "integer" }, "spec": text(), "at": time()
        })),
        "Rack": rack(),
        "Cluster": cluster(),
        "Host": host(),
        "Inventory": inventory(),
        "TracedHost": traced(),
    })
}

/// Who and what a machine is; whatever its BMC does not say is absent.
fn inventory() -> Value {
    let whole = || json!({ "type": "integer" });
    let list = |of: Value| json!({ "type": "array", "items": of });
    let nic = object(
        &["name", "mac"],
        json!({ "name": text(), "mac": text(), "link": text(), "mbps": whole(), "about": text() }),
    );
    let drive = object(
        &["name"],
        json!({
            "name": text(), "model": text(), "serial": text(), "bytes": whole(), "protocol": text(), "media": text(),
            "slot": text(), "controller": text(), "health": text()
        }),
    );
    let volume = object(
        &["name"],
        json!({
            "name": text(), "raid": text(), "bytes": whole(), "drives": list(text()), "controller": text()
        }),
    );
    object(
        &[],
        json!({
            "system": text(), "manufacturer": text(), "model": text(), "sku": text(), "serial": text(), "uuid": text(),
            "bios_version": text(), "bmc_version": text(), "bmc_mac": text(), "health": text(),
            "cpus": object(&[], json!({ "count": whole(), "model": text(), "cores": whole() })),
            "memory_gib": whole(), "nics": list(nic), "drives": list(drive), "volumes": list(volume),
            "boot_mac": text(), "power": { "enum": ["on", "off", "unknown"] },
            "incomplete": { "type": "boolean", "description": "some of it was passed over" }
        }),
    )
}

/// One host, with what its machine asked the boot servers for.
fn traced() -> Value {
    let step = object(
        &["at", "last", "count", "by", "asked", "outcome"],
        json!({
            "at": time(), "last": time(), "count": { "type": "integer" },
            "by": { "type": "string", "enum": ["dhcp", "tftp", "http", "checkin"] }, "asked": text(), "outcome": text()
        }),
    );
    let attempt = object(
        &["number", "steps", "dropped"],
        json!({
            "number": { "type": "integer" }, "steps": { "type": "array", "items": step },
            "dropped": { "type": "integer", "description": "steps from the middle that are forgotten" }
        }),
    );
    let chain = object(
        &["standing", "attempts"],
        json!({
            "standing": object(&["stuck", "sentence"], json!({ "stuck": { "type": "boolean" }, "sentence": text() })),
            "attempts": { "type": "array", "items": attempt, "description": "one for each power-on, the newest last" }
        }),
    );
    let chain = json!({ "description": "null while the boot MAC is not known", "oneOf": [chain, { "type": "null" }] });
    json!({ "allOf": [one("Host"), object(&["boot_chain"], json!({ "boot_chain": chain }))] })
}

fn rack() -> Value {
    let rejected = object(
        &["revision", "since", "findings"],
        json!({
            "revision": text(), "since": time(), "findings": many("Finding")
        }),
    );
    let trouble = object(
        &["action", "reason", "message", "count", "at"],
        json!({
            "action": text(), "reason": text(), "message": text(), "count": { "type": "integer" }, "at": time()
        }),
    );
    let foreign = object(&["server", "seen"], json!({ "server": text(), "seen": time() }));
    let full = object(&["subnet", "since"], json!({ "subnet": text(), "since": time() }));
    let stranger = object(&["address", "since"], json!({ "address": text(), "since": time() }));
    object(
        &[
            "armed",
            "revision",
            "rejected",
            "warnings",
            "foreign_dhcp",
            "full_ranges",
            "unclaimed",
            "troubles",
            "changes",
        ],
        json!({
            "armed": { "type": "boolean" },
            "revision": { "type": ["string", "null"] },
            "rejected": { "oneOf": [rejected, { "type": "null" }] },
            "warnings": many("Finding"),
            "foreign_dhcp": { "oneOf": [foreign, { "type": "null" }] },
            "full_ranges": { "type": "array", "items": full },
            "unclaimed": {
                "type": "object", "additionalProperties": stranger, "description": "by MAC: not in the repository"
            },
            "troubles": { "type": "array", "items": trouble },
            "changes": { "type": "integer" }
        }),
    )
}

fn cluster() -> Value {
    let task = object(
        &["id", "name", "result"],
        json!({
            "id": text(), "name": text(),
            "result": { "type": "string", "enum": ["pending", "running", "done", "failed", "blocked"] },
            "message": text(), "at": time(), "definition": text(),
            "covers": by_host("the installs it is done for"),
            "failed": by_host("targets it failed for, and why"),
            "fault": object(
                &["class", "reason", "message"],
                json!({
                    "class": { "enum": ["transient", "permanent", "operator"] }, "reason": text(), "message": text()
                }),
            ),
            "failed_at_run": { "type": "integer" },
            "announced": object(
                &["run", "covers"],
                json!({ "run": { "type": "integer" }, "covers": by_host("the installs it may be run for") }),
            ),
            "log": { "type": "string", "description": "directory of its logs, under state_dir" }
        }),
    );
    let write_back = object(
        &["id", "run", "since"],
        json!({
            "id": text(), "revision": text(), "run": { "type": "integer" }, "since": time(), "message": text()
        }),
    );
    let progress = object(
        &["play", "task", "tasks", "failed"],
        json!({
            "play": text(), "task": text(), "tasks": { "type": "integer" },
            "failed": { "type": "array", "items": text() }
        }),
    );
    object(
        &["cluster", "state", "since", "condition", "revision", "hosts", "tasks"],
        json!({
            "cluster": text(),
            "state": { "type": "string", "enum": ["provisioning", "ansible-running", "hooks-running", "completed"] },
            "since": time(), "condition": one("Condition"), "revision": { "type": ["string", "null"] },
            "hosts": { "type": "object", "additionalProperties": { "type": "integer" } },
            "tasks": { "type": "array", "items": task }, "write_back": write_back, "progress": progress,
            "notes": { "type": "array", "items": text() }
        }),
    )
}

fn by_host(what: &str) -> Value {
    json!({ "type": "object", "additionalProperties": text(), "description": what })
}

fn host() -> Value {
    let generation = object(
        &["wanted"],
        json!({
            "wanted": { "type": "integer" }, "installed": { "type": "integer" }
        }),
    );
    let preparing =
        object(&["what", "since", "times"], json!({ "what": text(), "since": time(), "times": { "type": "integer" } }));
    object(
        &["cluster", "host", "state", "since", "condition", "generation", "boot", "drift"],
        json!({
            "cluster": text(), "host": text(), "state": one("HostState"), "since": time(),
            "condition": one("Condition"), "generation": generation,
            "installed": one("Install"), "claim": one("Install"), "announced": { "type": "integer" },
            "bmc": one("Endpoint"), "boot": one("Endpoint"),
            "power": { "enum": ["on", "off", "unknown"] }, "inventory": one("Inventory"),
            "preparing": preparing, "disk": text(),
            "ssh": object(
                &[],
                json!({ "fingerprint": text(), "host_key": text(), "boot_before": text(), "configured": time() }),
            ),
            "drift": { "type": "boolean" }, "notes": { "type": "array", "items": text() }
        }),
    )
}
