//! Small repositories for tests: written inline, or read from `tests/fixtures`.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rackwright::model::{Desired, Finding, Severity, Subnet};
use rackwright::repo::{self, Context, Entry, Loaded, Tree};

/// A file of a tree.
pub fn file(text: impl Into<String>) -> Entry {
    Entry::File(Arc::from(text.into().into_bytes()))
}

/// A repository of one cluster `c1` with this `bootstrap.yml`, and hosts `hv1` to `hv99` in its inventory.
pub fn c1(bootstrap: &str) -> Tree {
    Tree::from([
        ("clusters.yml".into(), file("clusters: [c1]\n")),
        ("hosts".into(), file("[c1]\nhv[1:99]\n")),
        ("group_vars/c1/base.yml".into(), file("local_domain: c1.example.net\n")),
        ("group_vars/c1/bootstrap.yml".into(), file(bootstrap)),
    ])
}

/// The directory of the crate.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files under a directory.
pub fn read_tree(directory: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut todo = vec![directory.to_path_buf()];
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_string();
                tree.insert(name, Entry::File(Arc::from(std::fs::read(&path).unwrap())));
            }
        }
    }
    tree
}

/// `network/24` with the dynamic range .100 to .199.
pub fn subnet(network: [u8; 3]) -> Subnet {
    let at = |host: u8| Ipv4Addr::new(network[0], network[1], network[2], host);
    Subnet {
        net: format!("{}/24", at(0)).parse().unwrap(),
        first: at(100),
        last: at(199),
        gateway: Some(at(254)),
        dns: Vec::new(),
        domain: None,
        ntp: Vec::new(),
        lease_time: Duration::from_secs(3600),
    }
}

/// A context without subnets.
pub fn context() -> Context<'static> {
    Context {
        http_base: "http://192.0.2.1:9999".into(),
        address: Ipv4Addr::new(192, 0, 2, 1),
        subnets: &[],
        deploy_username: "deploy".into(),
        mirror: "http://mirror.example.net/debian".into(),
        release: "bookworm".into(),
        previous: None,
        revision: None,
        secrets: Default::default(),
    }
}

/// Loads without subnets.
pub fn load(tree: &Tree) -> Loaded {
    repo::load(tree, &context())
}

/// Loads what must be valid.
pub fn valid(tree: &Tree) -> Desired {
    let loaded = load(tree);
    loaded.desired.unwrap_or_else(|| panic!("refused: {:#?}", loaded.findings))
}

/// Codes and lines of the errors in `c1`'s `bootstrap.yml`.
pub fn errors(bootstrap: &str) -> Vec<(u32, String)> {
    let errors = load(&c1(bootstrap)).findings.into_iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| (finding.line, finding.code)).collect()
}

/// Path, line and code of findings.
pub fn places(findings: &[Finding]) -> Vec<(&str, u32, &str)> {
    findings.iter().map(|finding| (finding.path.as_str(), finding.line, finding.code.as_str())).collect()
}
