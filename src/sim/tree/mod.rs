//! The resources of a simulated Redfish service, in the shapes that real services of several vendors have.
#![allow(missing_docs, reason = "the names of fields and functions say the rest")]

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::bmc::Bmc;
use super::chassis::Chassis;

mod later;
mod nics;
mod settings;
pub mod storage;
mod system;
mod vendor;

pub use vendor::{BOARD, Vendor};

/// The ETag of a resource: a digest of what it says.
pub fn etag(body: &Value) -> String {
    format!("W/\"{}\"", hex::encode(&Sha256::digest(body.to_string().as_bytes())[..4]))
}

/// One resource, or nothing at that path.
pub fn resource(bmc: &Bmc, machine: &dyn Chassis, path: &str) -> Option<Value> {
    let vendor = bmc.config().vendor;
    let path = path.trim_end_matches('/');
    let mut body = match path {
        "/redfish/v1" => root(bmc),
        "/redfish/v1/SessionService" => {
            let sessions = link("/redfish/v1/SessionService/Sessions");
            json!({ "ServiceEnabled": true, "SessionTimeout": bmc.config().session_timeout.as_secs(), "Sessions": sessions })
        }
        "/redfish/v1/Systems" => collection(vendor.systems().into_iter().map(str::to_owned)),
        "/redfish/v1/Managers" => collection([vendor.manager_path().to_owned()]),
        "/redfish/v1/Chassis" => collection([vendor.chassis_path().to_owned()]),
        BOARD if vendor.systems().contains(&BOARD) => system::board(),
        _ => {
            let system = path.strip_prefix(vendor.system_path());
            let manager = path.strip_prefix(vendor.manager_path());
            let chassis = path.strip_prefix(vendor.chassis_path());
            system
                .and_then(|rest| system::system(bmc, machine, rest))
                .or_else(|| manager.and_then(|rest| system::manager(bmc, machine, rest)))
                .or_else(|| chassis.and_then(|rest| system::chassis(bmc, machine, rest)))
                .or_else(|| settings::resource(bmc, path))
                .or_else(|| later::resource(bmc, path))
                .or_else(|| storage::resource(bmc, path))?
        }
    };
    let members = body.as_object_mut()?;
    if !members.contains_key("@odata.id") {
        members.insert("@odata.id".into(), json!(path));
    }
    Some(body)
}

fn link(path: &str) -> Value {
    json!({ "@odata.id": path })
}

fn collection(members: impl IntoIterator<Item = String>) -> Value {
    let members: Vec<_> = members.into_iter().map(|path| link(&path)).collect();
    json!({ "Members@odata.count": members.len(), "Members": members })
}

fn root(bmc: &Bmc) -> Value {
    let mut body = json!({
        "Id": "RootService", "Name": "Root Service", "RedfishVersion": "1.11.0",
        "Systems": link("/redfish/v1/Systems"), "Managers": link("/redfish/v1/Managers"),
        "Chassis": link("/redfish/v1/Chassis"), "Tasks": link("/redfish/v1/TaskService"), "Links": {},
    });
    if bmc.config().sessions {
        body["SessionService"] = link("/redfish/v1/SessionService");
        body["Links"]["Sessions"] = link("/redfish/v1/SessionService/Sessions");
    }
    let (name, oem) = bmc.config().vendor.root_names();
    body["Vendor"] = name;
    if !oem.is_null() {
        body["Oem"] = oem;
    }
    body
}
