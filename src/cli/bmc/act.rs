//! Power and boot device, by hand: asked before anything is lost, and read back.

use std::io::{self, BufRead, IsTerminal as _, Write};

use serde_json::json;

use super::{Format, Scene, endpoint};
use crate::drive::bmc::manual;
use crate::drive::bmc::manual::types::{Boot, Device, Power};
use crate::model::{Fault, HostSpec};

/// Switches a machine. Exit code 2 when nobody agreed.
pub fn power(
    scene: &Scene<'_>,
    spec: &HostSpec,
    word: Power,
    runtime: &tokio::runtime::Runtime,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    if let Some(loss) = loss(word)
        && !scene.args.yes
    {
        let stdin = io::stdin();
        let err = &mut anstream::stderr();
        if !stdin.is_terminal() {
            writeln!(err, "{} would {loss}: say so with --yes, or at a terminal.", spec.id)?;
            return Ok(2);
        }
        if !agreed(&format!("{}, {}, would {loss}. Go on?", spec.id, place(scene, spec)), &mut stdin.lock(), err)? {
            writeln!(err, "Nothing was done.")?;
            return Ok(2);
        }
    }
    let state = runtime.block_on(async {
        let endpoint = endpoint::endpoint(scene.settings, spec, scene.world, scene.args.force)?;
        manual::power(&endpoint, word).await
    });
    let state = state.map_err(said)?;
    let word = state.as_str();
    match scene.args.format {
        Format::Text => writeln!(out, "{}: power is {word}", spec.id)?,
        Format::Json => writeln!(out, "{:#}", json!({ "host": spec.id, "power": word }))?,
    }
    Ok(0)
}

pub async fn boot(scene: &Scene<'_>, spec: &HostSpec, device: Device, out: &mut dyn Write) -> anyhow::Result<u8> {
    let endpoint = endpoint::endpoint(scene.settings, spec, scene.world, scene.args.force).map_err(said)?;
    let boot = manual::boot(&endpoint, device).await.map_err(said)?;
    match scene.args.format {
        Format::Text => writeln!(out, "{}: {}", spec.id, boot_text(&boot))?,
        Format::Json => writeln!(out, "{:#}", json!({ "host": spec.id, "boot": boot }))?,
    }
    Ok(0)
}

/// A boot override, for people.
pub fn boot_text(boot: &Boot) -> String {
    match (boot.enabled.as_str(), &boot.mode) {
        ("Disabled" | "", _) => "boots as its firmware says".to_owned(),
        (enabled, Some(mode)) => format!("{} {}, {mode}", boot.target, enabled.to_lowercase()),
        (enabled, None) => format!("{} {}", boot.target, enabled.to_lowercase()),
    }
}

fn loss(word: Power) -> Option<&'static str> {
    match word {
        Power::Status | Power::On => None,
        Power::Off => Some("lose power at once"),
        Power::Soft => Some("be shut down"),
        Power::Cycle => Some("lose power at once and start again"),
        Power::Reset => Some("be restarted at once"),
    }
}

/// What a person should think of: where the host stands.
fn place(scene: &Scene<'_>, spec: &HostSpec) -> String {
    let plan = crate::plan::plan(scene.world, crate::cli::now());
    plan.host(&spec.id).map_or_else(|| "not planned".to_owned(), |host| host.state.to_string())
}

fn agreed(question: &str, input: &mut dyn BufRead, ask: &mut dyn Write) -> io::Result<bool> {
    write!(ask, "{question} [y/N] ")?;
    ask.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

pub fn said(fault: Fault) -> anyhow::Error {
    anyhow::anyhow!("{fault}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, yes) in
            [("y\n", true), ("Yes\n", true), ("\n", false), ("", false), ("no\n", false), ("yo\n", false)]
        {
            let mut asked = Vec::new();
            assert_eq!(agreed("Go on?", &mut answer.as_bytes(), &mut asked).unwrap(), yes, "{answer:?}");
            assert_eq!(asked, b"Go on? [y/N] ");
        }
    }

    #[test]
    fn everything_that_stops_a_machine_asks_first() {
        let harmless = [Power::Status, Power::On];
        for word in <Power as clap::ValueEnum>::value_variants() {
            assert_eq!(loss(*word).is_none(), harmless.contains(word), "{word:?}");
        }
    }
}
