//! `images:` of a manifest: what is read, what templates are given, and which mistakes are told.

use rackwright::model::{Desired, ImageSource, Keyring};
use rackwright::repo::Tree;

use crate::rig::repo::{file, load, places, valid};

const SHA: &str = "10834fae6832b550b9210227cd27ed3300f4589857215bb2eb264d08bb97ec68";

/// One host with the installer `own`, whose manifest announces these images.
pub fn tree(images: &str) -> Tree {
    let manifest =
        format!("name: own\nclaim: check-in\nfiles: [{{ name: boot.ipxe, template: boot.j2 }}]\nimages:\n{images}");
    let bootstrap = "cluster: { installer: own, ansible: none }\nbootstrap:\n  \"52:54:00:aa:00:01\":\n    node: { hostname: hv1 }\n    bmc: { protocol: none }\n";
    let mut tree = crate::rig::repo::c1(bootstrap);
    tree.insert("installers/own/installer.yaml".into(), file(manifest));
    let boot = "#!ipxe\nkernel {{ images.vmlinuz }} || exit\n{% if 'initrd.img' in images %}initrd {{ images['initrd.img'] }}\n{% endif %}boot\n";
    tree.insert("installers/own/boot.j2".into(), file(boot));
    if images.contains("keyring: vendor.gpg") {
        tree.insert("installers/own/vendor.gpg".into(), rackwright::repo::Entry::File([0x99, 0xff, 0xfe].into()));
    }
    tree
}

fn script(desired: &Desired) -> String {
    desired.hosts.values().next().unwrap().files[0].body.to_string()
}

#[test]
fn images_are_read_and_templates_know_their_addresses() {
    let desired = valid(&tree(&format!(
        "  - {{ name: vmlinuz, url: 'https://mirror.example.net/linux', sha256: {} }}\n  - name: initrd.img\n    path: d-i/initrd.gz\n    sha256: {SHA}\n    signature: {{ url: 'https://mirror.example.net/SHA256SUMS.gpg', sums: 'https://mirror.example.net/SHA256SUMS', keyring: vendor.gpg }}\n",
        SHA.to_uppercase()
    )));
    let base = "http://192.0.2.1:9999/images";
    let expected = format!("#!ipxe\nkernel {base}/{SHA}/vmlinuz || exit\ninitrd {base}/{SHA}/initrd.img\nboot\n");
    assert_eq!(script(&desired), expected);
    let images = &desired.hosts.values().next().unwrap().images;
    assert_eq!((images.len(), desired.images.len()), (2, 2));
    assert_eq!((&*images[0].installer, &*images[0].sha256), ("own", SHA));
    assert_eq!(images[0].source, ImageSource::Url("https://mirror.example.net/linux".into()));
    assert_eq!(images[1].source, ImageSource::Path("d-i/initrd.gz".into()));
    let signature = images[1].signature.as_ref().unwrap();
    assert_eq!(signature.sums, Some(ImageSource::Url("https://mirror.example.net/SHA256SUMS".into())));
    assert_eq!(signature.keyring, Keyring::Own([0x99, 0xff, 0xfe].into()), "a keyring is no template");
}

#[test]
fn whoever_changes_anything_announces_another_image() {
    let one = |text: &str| {
        let desired = valid(&tree(&format!("  - {{ name: vmlinuz, sha256: {SHA}, {text} }}\n")));
        desired.images.keys().next().unwrap().clone()
    };
    let variants = [
        "path: linux",
        "path: linux2",
        "url: 'http://mirror.example.net/linux'",
        "path: linux, signature: { path: linux.sig, keyring: vendor.gpg }",
        "path: linux, signature: { path: linux.sig, keyring: /usr/share/keyrings/debian-archive-keyring.gpg }",
        "path: linux, signature: { path: linux.sig, sums: SHA256SUMS, keyring: vendor.gpg }",
    ];
    let ids: std::collections::BTreeSet<_> = variants.into_iter().map(one).collect();
    assert_eq!(ids.len(), variants.len());
    assert_eq!(one(variants[0]), one(variants[0]));
}

#[test]
fn every_mistake_about_an_image_is_told_with_its_place() {
    let good = format!("sha256: {SHA}, path: linux");
    let short = &SHA[1..];
    for (text, line, code) in [
        (format!("{{ {good} }}"), 5, "missing-key"),
        ("{ name: vmlinuz, path: linux }".into(), 5, "missing-key"),
        (format!("{{ name: vmlinuz, sha256: {SHA} }}"), 5, "missing-key"),
        (format!("{{ name: vmlinuz, {good}, url: 'http://x.example.net/y' }}"), 5, "missing-key"),
        (format!("{{ name: vmlinuz, sha256: {short}, path: linux }}"), 5, "bad-value"),
        (format!("{{ name: vmlinuz, sha256: {SHA}, path: /etc/shadow }}"), 5, "bad-value"),
        (format!("{{ name: vmlinuz, sha256: {SHA}, path: a/../../etc/shadow }}"), 5, "bad-value"),
        (format!("{{ name: vmlinuz, sha256: {SHA}, url: 'file:///etc/shadow' }}"), 5, "bad-value"),
        (format!("{{ name: vmlinuz, sha256: {SHA}, url: 'https://u:p@x.example.net/y' }}"), 5, "bad-value"),
        (format!("{{ name: vmlinuz, sha256: {SHA}, url: 'https://x.example.net/a b' }}"), 5, "bad-value"),
        (format!("{{ name: ../vmlinuz, {good} }}"), 5, "bad-name"),
        (format!("{{ name: .vmlinuz, {good} }}"), 5, "bad-name"),
        (format!("{{ name: vmlinuz, {good}, size: 5 }}"), 5, "unknown-key"),
        (format!("{{ name: vmlinuz, {good}, signature: {{ path: x }} }}"), 5, "missing-key"),
        (format!("{{ name: vmlinuz, {good}, signature: {{ keyring: vendor.gpg }} }}"), 5, "missing-key"),
        (format!("{{ name: vmlinuz, {good}, signature: {{ path: x, keyring: other.gpg }} }}"), 5, "missing-file"),
        (format!("{{ name: vmlinuz, {good} }}\n  - {{ name: vmlinuz, {good} }}"), 6, "duplicate-name"),
    ] {
        let tree = tree(&format!("  - {text}\n"));
        let findings = load(&tree).findings;
        let found = places(&findings);
        assert!(found.contains(&("installers/own/installer.yaml", line, code)), "{text}: {findings:#?}");
    }
    let unknown = load(&tree(&format!("  - {{ name: linux, {good} }}\n")));
    assert_eq!(
        places(&unknown.findings),
        [("installers/own/boot.j2", 2, "template")],
        "a template names what is not there"
    );
}
