//! The light that says which machine is meant.

use serde_json::{Value, json};

use super::quirk;
use super::session::Session;
use super::system::System;
use crate::model::Fault;

/// Switches the LED. A BMC that has none, or keeps it as it is, is no reason to stop: what people should know is given.
pub(super) async fn led(session: &Session, on: bool) -> Result<Option<String>, Fault> {
    let mut system = System::find(session).await?;
    let quirk = quirk::of(&session.root, system.body());
    // DSP0268: `IndicatorLED` is deprecated in favour of `LocationIndicatorActive`.
    let (name, wanted) = match (&system.body()["LocationIndicatorActive"], &system.body()["IndicatorLED"]) {
        (Value::Bool(_), _) => ("LocationIndicatorActive", json!(on)),
        (_, Value::String(_)) => ("IndicatorLED", json!(if on { quirk.led_on } else { quirk.led_off })),
        _ => return Ok(lacking(&system)),
    };
    if system.body()[name] == wanted {
        return Ok(None);
    }
    let refused = system.patch(session, &json!({ name: wanted })).await?;
    system.refresh(session).await?;
    if refused.is_some() || system.body()[name] != wanted {
        tracing::debug!(refused = refused.map(|fault| fault.message), "{name} does not become {wanted}");
        return Ok(Some(format!("the BMC does not switch its LED ({name})")));
    }
    Ok(None)
}

/// What people should know about a machine without one.
pub(super) fn lacking(system: &System) -> Option<String> {
    let body = system.body();
    let has = body["LocationIndicatorActive"].is_boolean() || body["IndicatorLED"].is_string();
    (!has).then(|| "the machine has no LED that its BMC can switch".to_owned())
}
