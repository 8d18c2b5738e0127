//! Fenced blocks of the documents, and what is YAML among them.
//!
//! | info string | the block is |
//! |---|---|
//! | `yaml settings` | settings, or a part of them |
//! | `yaml bootstrap` | a `bootstrap.yml`, or a part of one, tried in the page's repository |
//! | `… file=PATH` | a file of the page's repository |
//! | `yaml status` | an excerpt of the status branch |
//! | `console`, `sh` | commands (`commands.rs`); `console run` is run (`walk.rs`) |

use std::path::Path;

use rackwright::model::Severity;
use rackwright::repo::Tree;
use rackwright::settings;

use super::{pages, root};
use crate::rig::repo::{file, load, read_tree};

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    /// What stands after the fence.
    pub info: String,
    /// Line of the fence, from 1.
    pub line: usize,
    pub text: String,
}

/// All blocks of a page, without the indentation that a list gives them.
pub fn fenced(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let mut block = Block { info: info.trim().to_owned(), line: number + 1, text: String::new() };
        for (_, line) in lines.by_ref().take_while(|(_, line)| line.trim() != "```") {
            block.text.push_str(line.get(indent..).unwrap_or_default());
            block.text.push('\n');
        }
        blocks.push(block);
    }
    blocks
}

impl Block {
    /// The path in `file=PATH`.
    pub fn path(&self) -> Option<&str> {
        self.info.split(' ').find_map(|word| word.strip_prefix("file="))
    }
}

/// What a page that shows one host of cluster1 takes for granted.
const HOSTS: &str = "bootstrap:
  \"52:54:00:aa:01:01\":
    node: { hostname: hv1 }
    config: { boot_mac: \"52:54:00:bb:01:01\", system_disks: [/dev/sda] }
    bmc: { username: admin, password: change-me-1 }
  \"52:54:00:aa:01:02\":
    node: { hostname: hv2 }
    config: { boot_mac: \"52:54:00:bb:01:02\", system_disks: [/dev/sda] }
    bmc: { username: admin, password: change-me-2 }
";

/// The least that a settings file must say.
const SETTINGS: [(&str, &str); 2] = [
    ("repository:", "repository: { url: /srv/git/infra.git }\n"),
    ("network:", "network: { address: 10.0.0.1, dhcp: { mode: off } }\n"),
];

fn try_settings(text: &str) -> Result<(), String> {
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    let missing: String = SETTINGS.iter().filter(|(key, _)| !has(key)).map(|(_, text)| *text).collect();
    settings::parse(&format!("{text}{missing}"), Path::new("/etc/rackwright"))
        .map(drop)
        .map_err(|it| format!("{it:#?}"))
}

/// The page's repository: the example, with the files that the page shows.
fn repository(blocks: &[Block]) -> Tree {
    let mut tree = read_tree(&root().join("repo-schema/example"));
    for name in ["motd", "site.conf"] {
        tree.insert(format!("files/{name}"), file("a file\n"));
    }
    tree.insert("pvc.yml".into(), file("- hosts: all\n  tasks: []\n"));
    tree.insert("site.yml".into(), file("- hosts: all\n  tasks: []\n"));
    for block in blocks {
        if let Some(path) = block.path().filter(|path| !path.starts_with("..")) {
            tree.insert(path.to_owned(), file(&*block.text));
        }
    }
    tree
}

fn try_repository(tree: &Tree) -> Result<(), String> {
    let loaded = load(tree);
    let errors: Vec<_> = loaded.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    if errors.is_empty() { Ok(()) } else { Err(format!("{errors:#?}")) }
}

fn try_bootstrap(text: &str, tree: &Tree) -> Result<(), String> {
    let hosts = if text.lines().any(|line| line.starts_with("bootstrap:")) { "" } else { HOSTS };
    let mut tree = tree.clone();
    tree.insert("group_vars/cluster1/bootstrap.yml".into(), file(format!("{text}{hosts}")));
    try_repository(&tree)
}

/// What is wrong with the YAML of a page.
fn mistakes(path: &str, text: &str) -> Vec<String> {
    let blocks = fenced(text);
    let tree = repository(&blocks);
    let mut mistakes: Vec<String> = Vec::new();
    let mut try_block = |block: &Block, outcome: Result<(), String>| {
        mistakes.extend(outcome.err().map(|why| format!("{path}:{}: {why}", block.line)));
    };
    for block in &blocks {
        let outcome = match block.info.split_once(' ').unwrap_or((&block.info, "")) {
            ("yaml", "settings") => try_settings(&block.text),
            ("yaml", "bootstrap") => try_bootstrap(&block.text, &tree),
            ("yaml", "status") => match serde_saphyr::from_str::<serde_json::Value>(&block.text) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            },
            ("yaml", _) if block.path().is_none() => Err("say what this YAML is; see tests/docs/blocks.rs".into()),
            ("", _) => Err("a block without a language; `text` will do".into()),
            _ => Ok(()),
        };
        try_block(block, outcome);
    }
    if let Some(first) = blocks.iter().find(|block| block.path().is_some()) {
        try_block(first, try_repository(&tree));
    }
    mistakes
}

#[test]
fn the_yaml_shown_is_good() {
    let wrong: Vec<String> = pages().iter().flat_map(|(path, text)| mistakes(path, text)).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    for bad in [
        "yaml settings\nstate_dri: x",
        "yaml bootstrap\nhooks: [{ name: a, type: nothing }]",
        "yaml\na: 1",
        "\nx",
        "yaml file=installers/x/installer.yaml\nname: x\nclaim: check-in\nfiles: []",
    ] {
        assert_eq!(mistakes("x.md", &format!("```{bad}\n```\n")).len(), 1, "{bad}");
    }
}
