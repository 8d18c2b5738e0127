//! Installers: a manifest and templates, shipped (`templates/installers/`) or the site's own (`installers/<name>/`,
//! which shadows a shipped one of the same name). A new operating system is a new directory, not new code.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use include_dir::{Dir, include_dir};
use minijinja::Environment;
use serde::Serialize;

use super::file::KEYS;
use super::image::{self, Images};
use super::read::Reader;
use super::tree::{self, Files};
use super::vars::Scope;
use super::{Tree, template};
use crate::model::desired::TOKEN_MARK;
use crate::model::{ClaimBy, Digest, Finding};
use crate::yaml::{self, Node};

static SHIPPED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/templates/installers");

const MANIFEST: &str = "installer.yaml";
/// Largest body a machine is given, in bytes.
const MAX_BODY: usize = 1 << 20;

/// One installer, ready to render.
pub struct Installer {
    pub name: Arc<str>,
    pub claim: ClaimBy,
    pub needs_disk: bool,
    /// Digest of its files when they are the site's own; shipped templates may change with an upgrade, and that is
    /// not drift.
    pub fingerprint: Option<Digest>,
    pub images: Images,
    directory: String,
    files: Vec<FileSpec>,
    env: Environment<'static>,
}

struct FileSpec {
    name: Arc<str>,
    template: String,
    answer: bool,
}

/// What a template can use. Everything is text, or a list of texts, already checked for control characters.
#[derive(Serialize)]
pub struct Variables<'a> {
    pub hostname: &'a str,
    pub fqdn: &'a str,
    pub domain: &'a str,
    pub cluster: &'a str,
    /// The disk to install to, or the empty text.
    pub disk: &'a str,
    pub kernel_options: &'a [String],
    pub packages: &'a [String],
    /// Filesystem of the system volumes, or the empty text.
    pub filesystem: &'a str,
    pub release: &'a str,
    pub mirror: &'a str,
    pub deploy_username: &'a str,
    /// `http://<address>:<port>`.
    pub http_base: &'a str,
    pub next_server: &'a str,
    pub token: &'a str,
    /// Check-in URI with the claim's token in its path.
    pub checkin_uri: &'a str,
    /// URLs of the installer's images, by name.
    pub images: &'a BTreeMap<String, String>,
}

/// A rendered file: name, body, whether reading it claims.
pub type Rendered = (Arc<str>, String, bool);

/// Why a template failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RenderError {
    /// The template's path in the repository, or under `installers/` when shipped.
    pub path: String,
    /// Line in the template, 0 when not known.
    pub line: u32,
    pub message: String,
}

impl Installer {
    /// Whether it is the site's own.
    pub fn is_own(&self) -> bool {
        self.fingerprint.is_some()
    }

    /// Renders every file for one host; every template that fails is reported.
    pub fn render(&self, variables: &Variables<'_>) -> Result<Vec<Rendered>, Vec<RenderError>> {
        let context = minijinja::Value::from(minijinja::value::Serde(variables));
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for file in &self.files {
            let outcome = self.env.get_template(&file.template).and_then(|template| template.render(&context));
            let problem = match outcome {
                Err(error) => Some((error.line().unwrap_or(0) as u32, template::reason(&error))),
                Ok(body) if body.len() > MAX_BODY => Some((0, format!("the result is larger than {MAX_BODY} bytes"))),
                Ok(body) if file.answer && !body.contains(TOKEN_MARK) => Some((
                    0,
                    "the answer file must contain `checkin_uri` or `token`, or its install can never end".into(),
                )),
                Ok(body) => {
                    done.push((file.name.clone(), body, file.answer));
                    None
                }
            };
            failed.extend(problem.map(|(line, message)| {
                let path = format!("{}/{}", self.directory, file.template);
                RenderError { path, line, message }
            }));
        }
        if failed.is_empty() { Ok(done) } else { Err(failed) }
    }
}

/// Every installer by name; `None` for one whose manifest is wrong (already reported).
pub type Installers = BTreeMap<String, Option<Installer>>;

/// Reads every installer, the site's own included.
pub fn all(tree: &Tree, found: &mut Vec<Finding>) -> Installers {
    let mut installers = Installers::new();
    for (name, files) in tree::shipped(&SHIPPED) {
        let installer = read(&name, &format!("installers/{name}"), &files, false, found);
        installers.insert(name, installer);
    }
    for (name, files) in tree::directories(tree, "installers") {
        let installer = read(&name, &format!("installers/{name}"), &files, true, found);
        installers.insert(name, installer);
    }
    installers
}

fn read(name: &str, directory: &str, sources: &Files, own: bool, found: &mut Vec<Finding>) -> Option<Installer> {
    let path = format!("{directory}/{MANIFEST}");
    let Some(bytes) = sources.get(MANIFEST) else {
        let finding = Finding::error(&path, (0, 0), "missing-file", format!("installer `{name}` has no {MANIFEST}"));
        found.push(finding.hint("every directory under installers/ needs one"));
        return None;
    };
    let root = yaml::parse(&path, bytes, found)?;
    let before = found.len();
    let mut reader = Reader::new(&path, Arc::new(Scope::default()), found);
    let read = manifest(&mut reader, name, &root, sources);
    let nothing = BTreeSet::new();
    let env = compile(directory, sources, read.as_ref().map_or(&nothing, |read| &read.images.keyrings), found);
    let Manifest { claim, needs_disk, files, images } = read?;
    if found.len() > before {
        return None;
    }
    let parts = || sources.iter().flat_map(|(name, bytes)| [name.as_bytes(), bytes.as_ref()]);
    let fingerprint = own.then(|| Digest::of(parts()));
    let directory = directory.into();
    Some(Installer { name: name.into(), claim, needs_disk, fingerprint, images, directory, files, env })
}

/// Loads every other file as a template, so that templates can include each other.
fn compile(
    directory: &str,
    sources: &Files,
    keyrings: &BTreeSet<String>,
    found: &mut Vec<Finding>,
) -> Environment<'static> {
    let mut env = template::environment();
    if let Ok(syntax) = minijinja::syntax::SyntaxConfig::builder().keep_trailing_newline(true).build() {
        env.set_syntax(syntax);
    }
    for (name, bytes) in sources.iter().filter(|(name, _)| *name != MANIFEST && !keyrings.contains(*name)) {
        let path = format!("{directory}/{name}");
        let Ok(text) = std::str::from_utf8(bytes) else {
            found.push(Finding::error(&path, (0, 0), "not-utf8", "a template must be UTF-8 text"));
            continue;
        };
        if let Err(error) = env.add_template_owned(name.clone(), text.to_string()) {
            let place = (error.line().unwrap_or(0) as u32, 1);
            found.push(
                Finding::error(&path, place, "template", template::reason(&error)).hint("see the minijinja syntax"),
            );
        }
    }
    env
}

struct Manifest {
    claim: ClaimBy,
    needs_disk: bool,
    files: Vec<FileSpec>,
    images: Images,
}

fn manifest(reader: &mut Reader<'_>, name: &str, root: &Node, sources: &Files) -> Option<Manifest> {
    let fields = reader.fields(root, (1, 1), "", &KEYS.installer)?;
    if let Some(node) = reader.need(&fields, "name", "write the name of the directory")
        && let Some(text) = reader.text(node, "name")
        && text != name
    {
        let message = format!("`name` is `{text}`, but the directory is `{name}`");
        reader.error(node.place, "wrong-name", message, "use the directory's name");
    }
    let claim = reader.need(&fields, "claim", "write `answer-file` or `check-in`");
    let claim = claim.and_then(|node| reader.choice(node, "claim", &ClaimBy::WORDS));
    let needs_disk = fields.get("needs_disk").and_then(|node| reader.boolean(node, "needs_disk")).unwrap_or(false);
    let images = fields.get("images").map(|list| image::read(reader, name, list, sources)).unwrap_or_default();
    let list = reader.need(&fields, "files", "list the files a machine can read, `boot.ipxe` among them")?;
    let mut files: Vec<FileSpec> = Vec::new();
    for item in reader.items(list, "files")? {
        if let Some(file) = manifest_file(reader, &item, sources) {
            files.push(file);
        }
    }
    if !files.iter().any(|file| &*file.name == "boot.ipxe") {
        let hint = "`boot.ipxe` is what a machine is given first";
        reader.error(fields.place_of("files"), "missing-file", "no file is called `boot.ipxe`", hint);
    }
    let answers = files.iter().filter(|file| file.answer).count();
    if claim == Some(ClaimBy::AnswerFile) && answers != 1 {
        let message = format!("`claim: answer-file` needs exactly one file with `answer: yes`, not {answers}");
        reader.error(fields.place_of("files"), "answer-file", message, "reading that file is what counts as the claim");
    }
    Some(Manifest { claim: claim?, needs_disk, files, images })
}

fn manifest_file(reader: &mut Reader<'_>, item: &Node, sources: &Files) -> Option<FileSpec> {
    let fields = reader.fields(item, item.place, "files", &KEYS.template)?;
    let name_node = reader.need(&fields, "name", "the name a machine asks for")?;
    let name = reader.line(name_node, "files.name")?;
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        let message = format!("`{name}` cannot be the name of a boot file");
        reader.error(name_node.place, "bad-name", message, "use a plain file name without `/`");
    }
    let node = reader.need(&fields, "template", "the template's file name, beside this manifest")?;
    let template = reader.line(node, "files.template")?;
    if !sources.contains_key(&template) {
        let message = format!("there is no template `{template}` beside this manifest");
        reader.error(node.place, "missing-file", message, "check the name");
    }
    let answer = fields.get("answer").and_then(|node| reader.boolean(node, "files.answer")).unwrap_or(false);
    Some(FileSpec { name: name.into(), template, answer })
}
