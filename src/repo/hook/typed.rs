//! The type of an argument, or of a list's items, as a `hook.yaml` writes it.

use super::kind::Kind;
use crate::repo::file::KEYS;
use crate::repo::file::hook::Type;
use crate::repo::read::{Fields, Reader};

/// `type:` and what belongs to it.
pub fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Kind> {
    let node = reader.need(fields, "type", "its type, as `line` or `number`")?;
    let kind = reader.choice(node, &fields.name("type"), &Type::WORDS)?;
    for key in ["min", "max", "or", "values", "ignore_case", "items", "attach", "version"] {
        if fields.get(key).is_some() && !keys(kind).contains(&key) {
            let message = format!("`{}` means nothing for the type {kind}", fields.name(key));
            reader.error(fields.place_of(key), "without-effect", message, "remove it, or choose another type");
        }
    }
    let what = |key: &str| fields.name(key);
    let words = |reader: &mut Reader<'_>, key: &str| -> Vec<String> {
        let list = fields.get(key).and_then(|node| reader.lines(node, &what(key)));
        list.into_iter().flatten().map(|(word, _)| word).collect()
    };
    Some(match kind {
        Type::Text => Kind::Text,
        Type::Line => Kind::Line,
        Type::Word => Kind::Word,
        Type::Script => Kind::Script,
        Type::Boolean => Kind::Boolean,
        Type::Number => {
            let mut bound = |key: &str, default: u64| match fields.get(key) {
                Some(node) => reader.number(node, &what(key), 0, u64::MAX),
                None => Some(default),
            };
            let (min, max) = (bound("min", 0)?, bound("max", i64::MAX as u64)?);
            ordered(reader, fields, min <= max);
            Kind::Number(min, max, words(reader, "or"))
        }
        Type::Float => {
            let mut bound = |key: &str, default: f64| match fields.get(key) {
                Some(node) => reader.float(node, &what(key), f64::MIN, f64::MAX),
                None => Some(default),
            };
            let (min, max) = (bound("min", f64::MIN)?, bound("max", f64::MAX)?);
            ordered(reader, fields, min <= max);
            Kind::Float(min, max, words(reader, "or"))
        }
        Type::Choice => {
            reader.need(fields, "values", "list the words it can be")?;
            let any_case = fields.get("ignore_case").and_then(|node| reader.boolean(node, &what("ignore_case")));
            Kind::Choice(words(reader, "values"), any_case.unwrap_or(false))
        }
        Type::List => {
            let node = reader.need(fields, "items", "the type of its items, as { type: line }")?;
            let items = reader.fields(node, fields.place_of("items"), &what("items"), &KEYS.items)?;
            match read(reader, &items)? {
                Kind::List(_) => {
                    reader.error(node.place, "bad-value", "a list of lists cannot be given", "use the type json");
                    return None;
                }
                items => {
                    if fields.get("attach").is_some() && !matches!(items, Kind::Text | Kind::File | Kind::Script) {
                        let message = format!("the items of `{}` are neither texts nor files", fields.name("items"));
                        reader.error(fields.place_of("attach"), "without-effect", message, "remove it");
                    }
                    Kind::List(Box::new(items))
                }
            }
        }
        Type::Disk => Kind::Disk,
        Type::Mode => Kind::Mode,
        Type::Path => Kind::Path,
        Type::File => Kind::File,
        Type::Address | Type::Network => {
            let version =
                fields.get("version").map(|node| reader.choice(node, &what("version"), &[("4", 4), ("6", 6)]));
            let version = version.flatten();
            if kind == Type::Address { Kind::Address(version) } else { Kind::Network(version) }
        }
        Type::Uri => Kind::Uri,
        Type::Replication => Kind::Replication,
        Type::Json => Kind::Json,
    })
}

/// The keys that mean something for a type, besides those of every argument.
fn keys(kind: Type) -> &'static [&'static str] {
    match kind {
        Type::Number | Type::Float => &["min", "max", "or"],
        Type::Choice => &["values", "ignore_case"],
        Type::List => &["items", "attach"],
        Type::Text | Type::File => &["attach"],
        Type::Address | Type::Network => &["version"],
        _ => &[],
    }
}

fn ordered(reader: &mut Reader<'_>, fields: &Fields<'_>, fine: bool) {
    if !fine {
        let message = format!("no value can be between `{}` and `{}`", fields.name("min"), fields.name("max"));
        reader.error(fields.place_of("max"), "out-of-range", message, "the smaller one is `min`");
    }
}
