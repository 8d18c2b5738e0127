//! `rackwright schema`: the JSON Schemas of the repository's files, for editors and checkers.

use std::io::Write;

use anyhow::bail;

use crate::repo::file::schemas;
#[derive(clap::Args, Debug)]
pub struct SchemaArgs {
    /// base, bootstrap, clusters, hook, installer or pvc [default: all, as one JSON object by name]
    pub name: Option<String>,
}

/// Prints one schema, or all of them.
pub fn schema(args: &SchemaArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let schemas = schemas();
    match &args.name {
        Some(name) => {
            let known: Vec<_> = schemas.keys().copied().collect();
            match schemas.get(name.trim_end_matches(".schema.json")) {
                Some(text) => out.write_all(text.as_bytes())?,
                None => bail!("there is no schema `{name}`; there are {}", known.join(", ")),
            }
        }
        None => {
            let all: Result<serde_json::Map<_, _>, _> =
                schemas.iter().map(|(name, text)| Ok((name.to_string(), serde_json::from_str(text)?))).collect();
            let all: serde_json::Result<_> = all;
            writeln!(out, "{}", serde_json::to_string_pretty(&serde_json::Value::Object(all?))?)?;
        }
    }
    Ok(0)
}
