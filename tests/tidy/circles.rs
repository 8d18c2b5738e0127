//! No circle of files but those listed here: a file that needs another is not needed by it, not even by way of a third.

use std::collections::{BTreeMap, BTreeSet};

use super::files;
use super::text::{code, without_tests};

/// Directories without a circle of files.
const STRAIGHT: &[&str] = &["src/drive/bmc", "src/drive/git", "src/plan"];

/// The circles that are left elsewhere, and why. The list only shrinks.
const CIRCLES: &[(&str, &str)] = &[
    (
        "repo repo::assemble repo::block repo::bmc repo::check repo::cluster repo::disk repo::file repo::hook \
      repo::hook::args repo::hook::definition repo::hook::directory repo::hook::kind repo::hook::schema \
      repo::hook::typed repo::host repo::image repo::installer repo::inventory repo::inventory::range \
      repo::tree repo::variables",
        "the keys of a repository, and what reads each of them",
    ),
    (
        "cli cli::bmc cli::bmc::act cli::bmc::diag cli::bmc::info cli::bmc::known cli::completions \
      cli::console cli::explain cli::explain::task cli::preflight cli::preflight::ansible \
      cli::preflight::bmcs cli::preflight::files cli::preflight::judge cli::preflight::live \
      cli::preflight::ports cli::preflight::probe cli::preflight::repository cli::request cli::status",
        "commands take the common arguments, which name the commands",
    ),
    (
        "drive drive::ansible drive::ansible::inventory drive::ansible::work drive::bmc drive::bmc::pool \
      drive::bmc::pool::config drive::bmc::pool::entry drive::hook drive::hook::bootstrap \
      drive::hook::given drive::hook::host drive::hook::job drive::hook::verdict drive::task",
        "kinds of action take what every action is given",
    ),
    (
        "serve::api serve::api::events serve::api::openapi serve::http serve::http::assets serve::http::boot \
      serve::http::checkin serve::http::dnsmasq serve::http::images serve::http::metrics serve::http::push",
        "the API's routes are the server's, and handlers take its state",
    ),
    (
        "sim::bmc sim::bmc::config sim::bmc::login sim::bmc::task sim::bmc::trouble sim::tree \
      sim::tree::later sim::tree::nics sim::tree::settings sim::tree::storage sim::tree::system",
        "a simulated BMC, and the resources that it is made of",
    ),
    (
        "model model::action model::desired model::event model::lease model::observed model::status \
      model::status::v1 model::task model::work",
        "plain data that names each other; the floor is imported as one",
    ),
    (
        "cli::export cli::export::dnsmasq cli::export::isc cli::export::kea",
        "formats of one command, which take its input",
    ),
    ("daemon daemon::compaction daemon::replay daemon::servers", "parts of the loop take its state"),
    ("serve::files serve::files::locate serve::files::pieces", "parts of the library of files give its types"),
    ("serve::dhcp::wire serve::dhcp::wire::encode serve::dhcp::wire::options", "a message, and how it is written"),
    ("model::reason model::reason::advice", "the table takes the advice, which is written by variant"),
    ("yaml yaml::parse", "the tree, and what builds it"),
    ("settings settings::raw", "the settings, and the reader that fills them"),
    ("serve::dhcp::netboot serve::dhcp::respond", "an answer, and the boot options in it"),
    ("serve::tftp::claims serve::tftp::source", "a claim is made by the read of a file"),
    ("sim::machine sim::machine::installer", "a machine, and the installer that runs on it"),
    ("sim::rack sim::rack::management", "a BMC's address becomes a command of its machine"),
    ("cli::demo cli::demo::vms", "one command with two kinds of machines"),
    ("sim::ipmi sim::ipmi::text", "a simulated BMC, and its texts"),
];

/// `src/drive/bmc/mod.rs` and `src/drive/bmc.rs` are both `drive::bmc`.
fn module(path: &str) -> String {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    inner.replace('/', "::")
}

/// Every path that a text names, with the groups of `use` spelled out: `a::{b, c::d}` -> `a::b`, `a::c::d`.
fn paths(text: &str) -> Vec<String> {
    let code = code(text);
    let code: String = without_tests(&code).split_whitespace().collect::<Vec<_>>().join(" ");
    let code = code.replace(" ::", "::").replace(":: ", "::").replace("{ ", "{").replace(" }", "}");
    let (mut found, mut open, mut word) = (Vec::new(), Vec::<String>::new(), String::new());
    for c in code.chars() {
        match c {
            c if c.is_alphanumeric() || c == '_' || c == ':' => word.push(c),
            '{' if word.ends_with("::") => open.push(std::mem::take(&mut word)),
            _ => {
                if !word.is_empty() {
                    found.push(open.concat() + &std::mem::take(&mut word));
                }
                match c {
                    '}' => drop(open.pop()),
                    // A statement ends, and with it every group that was not one.
                    ';' => open.clear(),
                    _ => {}
                }
            }
        }
    }
    found
}

/// The module that a path in `here` leads to, of those there are: the longest beginning that is one.
fn target<'m>(here: &str, path: &str, modules: &'m BTreeSet<String>) -> Option<&'m str> {
    let mut base: Vec<&str> = here.split("::").collect();
    let mut rest: Vec<&str> = path.split("::").filter(|part| !part.is_empty()).collect();
    while let Some(first @ ("crate" | "super" | "self")) = rest.first().copied() {
        match first {
            "crate" => base.clear(),
            "super" => drop(base.pop()),
            _ => {}
        }
        rest.remove(0);
    }
    let least = base.len();
    let full: Vec<&str> = base.into_iter().chain(rest).collect();
    let beginnings = (least.max(1)..=full.len()).rev().map(|length| full[..length].join("::"));
    beginnings.into_iter().find_map(|name| modules.get(&name).map(String::as_str)).filter(|name| *name != here)
}

/// The files that need each other, if any do: what is left when those are taken away that need none of the others. Files of
/// one of the `known` circles may need each other.
fn circle(texts: &BTreeMap<String, &str>, known: &[BTreeSet<&str>]) -> Vec<String> {
    let modules: BTreeSet<String> = texts.keys().cloned().collect();
    let needs = |here: &String, text: &str| -> BTreeSet<&str> {
        paths(text).iter().filter(|path| path.contains("::")).filter_map(|path| target(here, path, &modules)).collect()
    };
    let mut left: BTreeMap<&str, BTreeSet<&str>> =
        texts.iter().map(|(here, text)| (here.as_str(), needs(here, text))).collect();
    for circle in known {
        for (_, needs) in left.iter_mut().filter(|(name, _)| circle.contains(**name)) {
            needs.retain(|name| !circle.contains(name));
        }
    }
    loop {
        let free: Vec<&str> = left.iter().filter(|(_, needs)| needs.is_empty()).map(|(name, _)| *name).collect();
        if free.is_empty() {
            return left.into_iter().map(|(name, needs)| format!("{name} needs {needs:?}")).collect();
        }
        for name in free {
            left.remove(name);
            left.values_mut().for_each(|needs| _ = needs.remove(name));
        }
    }
}

#[test]
fn no_file_needs_one_that_needs_it() {
    let files = files();
    for directory in STRAIGHT {
        let inside = |path: &str| path == format!("{directory}.rs") || path.starts_with(&format!("{directory}/"));
        let texts = files.iter().filter(|(path, _)| path.ends_with(".rs") && inside(path));
        let texts: BTreeMap<String, &str> = texts.map(|(path, text)| (module(path), text.as_str())).collect();
        assert!(texts.len() > 1, "{directory}: nothing was looked at");
        assert_eq!(circle(&texts, &[]), [""; 0], "{directory}");
    }
    let texts =
        |inner: &'static str| BTreeMap::from([("a".to_owned(), "mod b; use b::f;"), ("a::b".to_owned(), inner)]);
    assert_eq!(circle(&texts("use super::{g, self as a};"), &[]).len(), 2);
    assert_eq!(circle(&texts("fn f() { super::g() }"), &[]).len(), 2);
    assert_eq!(circle(&texts("use crate::{a::{T}, c};"), &[]).len(), 2);
    assert_eq!(circle(&texts("#[cfg(test)]\nmod tests { use super::*; }"), &[]), [""; 0]);
}

#[test]
fn the_circles_that_are_left_are_listed() {
    let files = files();
    let texts = files.iter().filter(|(path, _)| path.starts_with("src/") && path.ends_with(".rs"));
    let texts: BTreeMap<String, &str> = texts.map(|(path, text)| (module(path), text.as_str())).collect();
    let known: Vec<BTreeSet<&str>> = CIRCLES.iter().map(|(names, _)| names.split_whitespace().collect()).collect();
    assert_eq!(circle(&texts, &known), [""; 0]);
    for names in &known {
        let inner = texts.iter().filter(|(name, _)| names.contains(name.as_str()));
        let inner: BTreeMap<String, &str> = inner.map(|(name, text)| (name.clone(), *text)).collect();
        assert_eq!(circle(&inner, &[]).len(), names.len(), "no longer a circle, or not all of it: {names:?}");
    }
}
