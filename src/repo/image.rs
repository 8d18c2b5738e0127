//! `images:` of an installer's manifest: what it boots, with the digest that counts and, if wanted, its vendor's signature.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::file::KEYS;
use super::read::{Fields, Reader};
use crate::model::{Digest, ImageSource, ImageSpec, Keyring, SignatureSpec};
use crate::yaml::{Node, Place};

/// The images of one manifest.
#[derive(Default)]
pub struct Images {
    /// Ready for every host of the installer.
    pub specs: Arc<[Arc<ImageSpec>]>,
    /// Files beside the manifest that are keyrings, not templates.
    pub keyrings: BTreeSet<String>,
}

impl Images {
    /// What templates call `images`: name -> absolute URL.
    pub fn urls(&self, http_base: &str) -> BTreeMap<String, String> {
        let url = |image: &Arc<ImageSpec>| format!("{http_base}/images/{}/{}", image.sha256, image.name);
        self.specs.iter().map(|image| (image.name.to_string(), url(image))).collect()
    }
}

/// Reads the list. Mistakes are reported; what comes back then is not used.
pub fn read(reader: &mut Reader<'_>, installer: &str, list: &Node, sources: &BTreeMap<String, Arc<[u8]>>) -> Images {
    let mut keyrings = BTreeSet::new();
    let mut specs: Vec<Arc<ImageSpec>> = Vec::new();
    for item in reader.items(list, "images").unwrap_or_default() {
        let Some((image, place)) = one(reader, installer, &item, sources, &mut keyrings) else { continue };
        if specs.iter().any(|known| known.name == image.name) {
            let message = format!("two images are called `{}`", image.name);
            reader.error(place, "duplicate-name", message, "templates name an image by its name");
        }
        specs.push(Arc::new(image));
    }
    Images { specs: specs.into(), keyrings }
}

fn one(
    reader: &mut Reader<'_>,
    installer: &str,
    item: &Node,
    sources: &BTreeMap<String, Arc<[u8]>>,
    keyrings: &mut BTreeSet<String>,
) -> Option<(ImageSpec, Place)> {
    let fields = reader.fields(item, item.place, "images", &KEYS.image)?;
    let node = reader.need(&fields, "name", "what templates call it, and the last part of its URL: vmlinuz")?;
    let (name, place) = (reader.line(node, "images.name")?, node.place);
    if !is_name(&name) {
        let hint = "letters, digits, `.`, `_` and `-`, at most 100, not beginning with a dot or hyphen";
        reader.error(place, "bad-name", format!("`{name}` cannot be the name of an image"), hint);
        return None;
    }
    let source = source(reader, &fields);
    let digest = reader.need(&fields, "sha256", "the digest its vendor publishes (`sha256sum FILE` prints one)");
    let digest = digest.and_then(|node| sha256(reader, node));
    let signature = match fields.get("signature") {
        None => None,
        Some(node) => Some(signature(reader, node, fields.place_of("signature"), sources, keyrings)?),
    };
    let (source, sha256) = (source?, digest?);
    let id = id(installer, &name, &source, &sha256, signature.as_ref());
    Some((ImageSpec { id, name: name.into(), installer: installer.into(), source, sha256, signature }, place))
}

fn sha256(reader: &mut Reader<'_>, node: &Node) -> Option<Arc<str>> {
    let text = reader.line(node, "images.sha256")?.to_ascii_lowercase();
    if text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Some(text.into());
    }
    let hint = "64 hex digits, as `sha256sum` prints them";
    reader.error(node.place, "bad-value", format!("`{text}` is not a SHA-256 digest"), hint);
    None
}

/// `url:` or `path:`, one of them.
fn source(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<ImageSource> {
    match (fields.get("url"), fields.get("path")) {
        (Some(node), None) => url(reader, node, &fields.name("url")),
        (None, Some(node)) => path(reader, node, &fields.name("path")),
        _ => {
            let message =
                format!("`{}` or `{}`, one of them, says where it comes from", fields.name("url"), fields.name("path"));
            reader.error(
                fields.place,
                "missing-key",
                message,
                "an http or https URL, or a path below network.tftp.root",
            );
            None
        }
    }
}

fn url(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<ImageSource> {
    let text = reader.line(node, what)?;
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if text.contains("://") && !host.is_empty() && host.contains('@') {
        let hint = "everybody who can read the repository can read it; serve the file without";
        reader.error(node.place, "bad-value", format!("`{what}` carries a user name or password"), hint);
    } else if host.is_empty() || text.len() > 2048 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let hint = "as https://mirror.example.net/images/vmlinuz";
        reader.error(node.place, "bad-value", format!("`{what}` is not an http or https URL"), hint);
    } else {
        return Some(ImageSource::Url(text));
    }
    None
}

/// A path below the static root. Anything else on the daemon's host is none of the repository's business.
fn path(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<ImageSource> {
    let text = reader.line(node, what)?;
    let inside = !text.starts_with('/') && text.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if inside && text.len() <= 1024 {
        return Some(ImageSource::Path(text));
    }
    let hint = "a path relative to network.tftp.root, without `..`";
    reader.error(node.place, "bad-value", format!("`{what}` does not lie below the static root"), hint);
    None
}

fn signature(
    reader: &mut Reader<'_>,
    node: &Node,
    place: Place,
    sources: &BTreeMap<String, Arc<[u8]>>,
    keyrings: &mut BTreeSet<String>,
) -> Option<SignatureSpec> {
    let fields = reader.fields(node, place, "images.signature", &KEYS.signature)?;
    let source = source(reader, &fields);
    let sums = match fields.get("sums") {
        None => None,
        Some(node) if node.scalar().is_some_and(|(text, _)| text.contains("://")) => {
            Some(url(reader, node, "images.signature.sums")?)
        }
        Some(node) => Some(path(reader, node, "images.signature.sums")?),
    };
    let hint = "a file beside this manifest, or the path of a keyring on the daemon's host";
    let node = reader.need(&fields, "keyring", hint)?;
    let text = reader.line(node, "images.signature.keyring")?;
    let keyring = match sources.get(&text) {
        Some(octets) => {
            keyrings.insert(text);
            Keyring::Own(octets.clone())
        }
        None if text.starts_with('/') => Keyring::Host(text),
        None => {
            let message = format!("there is no keyring `{text}` beside this manifest");
            reader.error(node.place, "missing-file", message, hint);
            return None;
        }
    };
    Some(SignatureSpec { source: source?, sums, keyring })
}

/// A name that is safe in URLs, scripts and file systems.
fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=100).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with(['.', '-'])
}

/// The digest of all that makes it this image.
fn id(installer: &str, name: &str, source: &ImageSource, sha256: &str, signature: Option<&SignatureSpec>) -> Digest {
    let mut parts = vec![installer.as_bytes(), name.as_bytes(), source.as_str().as_bytes(), sha256.as_bytes()];
    if let Some(signature) = signature {
        let sums = signature.sums.as_ref().map(ImageSource::as_str).unwrap_or_default();
        let keyring = match &signature.keyring {
            Keyring::Host(path) => path.as_bytes(),
            Keyring::Own(octets) => octets,
        };
        parts.extend([signature.source.as_str().as_bytes(), sums.as_bytes(), keyring]);
    }
    Digest::of(parts)
}
