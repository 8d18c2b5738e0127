//! The light that says which machine is meant.

use serde_json::{Value, json};

use super::quirk;
use super::session::Session;
use super::system::System;
use crate::model::Fault;

/// Switches the LED. A BMC that has none, or keeps it as it is, is no reason to stop.
pub(super) async fn led(session: &Session, on: bool) -> Result<(), Fault> {
    let mut system = System::find(session).await?;
    let quirk = quirk::of(&session.root, system.body());
    // DSP0268: `IndicatorLED` is deprecated in favour of `LocationIndicatorActive`.
    let (name, wanted) = match (&system.body()["LocationIndicatorActive"], &system.body()["IndicatorLED"]) {
        (Value::Bool(_), _) => ("LocationIndicatorActive", json!(on)),
        (_, Value::String(_)) => ("IndicatorLED", json!(if on { quirk.led_on } else { quirk.led_off })),
        _ => return Ok(()),
    };
    if system.body()[name] == wanted {
        return Ok(());
    }
    let refused = system.patch(session, &json!({ name: wanted })).await?;
    system.refresh(session).await?;
    if refused.is_some() || system.body()[name] != wanted {
        tracing::warn!(refused = refused.map(|fault| fault.message), "{name} does not become {wanted}");
    }
    Ok(())
}
