//! `rackwright validate`: checks a repository and prints every finding, for people, editors, forges and scanners.

use std::io::Write;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::source;
use crate::drive::git::Local;
use crate::model::{Finding, Revision, Severity};
use crate::repo::{Loaded, Tree};
use crate::settings;
#[derive(clap::Args, Debug)]
pub struct ValidateArgs {
    /// The repository
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// A revision instead of the working tree
    #[arg(long, value_name = "REV")]
    pub rev: Option<String>,
    /// The daemon's settings, to check addresses against its subnets
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to print findings
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// `file:line:col: error: message`, for people and editors
    #[default]
    Text,
    /// One JSON document
    Json,
    /// Annotations of a GitHub Actions job
    Github,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

/// Prints every finding. Exit codes: 0 clean or warnings only, 1 errors; 2 (it could not run) is given by `main`.
pub fn validate(args: &ValidateArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let settings = args.config.as_deref().map(settings::load).transpose()?;
    let (tree, revision) = read(&args.path, args.rev.as_deref())?;
    let loaded = source::load(&tree, settings.as_ref(), None, revision);
    match args.format {
        Format::Text => text(&loaded, out)?,
        Format::Json => document(out, &json(&loaded))?,
        Format::Github => loaded.findings.iter().try_for_each(|finding| writeln!(out, "{}", annotation(finding)))?,
        Format::Sarif => document(out, &sarif(&loaded.findings))?,
    }
    Ok(u8::from(loaded.desired.is_none()))
}

/// The working tree, or the revision; of a bare repository its `HEAD`.
pub fn read(path: &std::path::Path, revision: Option<&str>) -> anyhow::Result<(Tree, Option<Revision>)> {
    let bare = || Local::discover(path).is_ok_and(|local| local.workdir().is_none());
    let revision = revision.or_else(|| bare().then_some("HEAD"));
    source::tree(path, revision)
}

fn document(out: &mut dyn Write, value: &Value) -> anyhow::Result<()> {
    writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    findings.iter().filter(|finding| finding.severity == severity).count()
}

fn plural(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// One line (and a hint) for each finding, as people read them; the last line sums up.
pub fn text(loaded: &Loaded, out: &mut dyn Write) -> anyhow::Result<()> {
    for finding in &loaded.findings {
        let style = match finding.severity {
            Severity::Error => AnsiColor::Red.on_default().bold(),
            Severity::Warning => AnsiColor::Yellow.on_default().bold(),
        };
        let Finding { path, line, column, severity, message, code, .. } = finding;
        let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
        writeln!(
            out,
            "{bold}{path}:{line}:{column}:{bold:#} {style}{severity}{style:#}: {message} {dim}[{code}]{dim:#}"
        )?;
        if let Some(hint) = &finding.hint {
            writeln!(out, "  hint: {hint}")?;
        }
    }
    if !loaded.findings.is_empty() {
        writeln!(out)?;
    }
    writeln!(out, "{}", summary(loaded))?;
    Ok(())
}

fn summary(loaded: &Loaded) -> String {
    let errors = count(&loaded.findings, Severity::Error);
    let warnings = plural(count(&loaded.findings, Severity::Warning), "warning");
    match &loaded.desired {
        None => format!("Invalid: {}, {warnings}. This revision would be refused as a whole.", plural(errors, "error")),
        Some(desired) => format!(
            "Valid: {} with {}, {warnings}.",
            plural(desired.clusters.len(), "cluster"),
            plural(desired.hosts.len(), "host")
        ),
    }
}

fn json(loaded: &Loaded) -> Value {
    json!({
        "valid": loaded.desired.is_some(),
        "errors": count(&loaded.findings, Severity::Error),
        "warnings": count(&loaded.findings, Severity::Warning),
        "findings": loaded.findings,
    })
}

/// A GitHub Actions workflow command: message and properties percent-escaped as the runner expects.
fn annotation(finding: &Finding) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let place = match finding.line {
        0 => String::new(),
        line => format!(",line={line},col={}", finding.column.max(1)),
    };
    let hint = finding.hint.iter().map(|hint| format!("\nhint: {hint}")).collect::<String>();
    let (severity, path, code) = (finding.severity, property(&finding.path), property(&finding.code));
    format!("::{severity} file={path}{place},title={code}::{}", data(&format!("{}{hint}", finding.message)))
}

/// The findings as a SARIF 2.1.0 log (OASIS standard).
fn sarif(findings: &[Finding]) -> Value {
    let mut rules: Vec<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    let results: Vec<_> = findings.iter().map(|finding| sarif_result(finding, &rules)).collect();
    let rules: Vec<_> = rules.iter().map(|id| json!({ "id": id })).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "rackwright", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn sarif_result(finding: &Finding, rules: &[&str]) -> Value {
    let message = match &finding.hint {
        Some(hint) => format!("{} (hint: {hint})", finding.message),
        None => finding.message.clone(),
    };
    let mut place = json!({ "artifactLocation": { "uri": uri(&finding.path) } });
    if finding.line > 0 {
        place["region"] = json!({ "startLine": finding.line, "startColumn": finding.column.max(1) });
    }
    json!({
        "ruleId": finding.code,
        "ruleIndex": rules.iter().position(|rule| *rule == finding.code),
        "level": finding.severity,
        "message": { "text": message },
        "locations": [{ "physicalLocation": place }],
    })
}

/// A path as a relative URI reference (RFC 3986): everything but unreserved characters and `/` is escaped.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        let error = Finding::error("group_vars/a b/x.yml", (3, 7), "bad-mac", "50% of\nit, maybe").hint("look: again");
        vec![error, Finding::warning("hosts", (0, 0), "empty-inventory", "empty")]
    }

    #[test]
    fn people_get_lines_hints_and_a_sum() {
        let mut out = anstream::StripStream::new(Vec::new());
        text(&Loaded { desired: None, findings: findings() }, &mut out).unwrap();
        let expected = "group_vars/a b/x.yml:3:7: error: 50% of\nit, maybe [bad-mac]\n  hint: look: again\n\
                        hosts:0:0: warning: empty [empty-inventory]\n\n\
                        Invalid: 1 error, 1 warning. This revision would be refused as a whole.\n";
        assert_eq!(String::from_utf8(out.into_inner()).unwrap(), expected);
    }

    #[test]
    fn forges_get_escaped_commands() {
        let lines: Vec<_> = findings().iter().map(annotation).collect();
        let first =
            "::error file=group_vars/a b/x.yml,line=3,col=7,title=bad-mac::50%25 of%0Ait, maybe%0Ahint: look: again";
        assert_eq!(lines, [first, "::warning file=hosts,title=empty-inventory::empty"]);
    }

    #[test]
    fn scanners_get_sarif() {
        let log = sarif(&findings());
        let results = &log["runs"][0]["results"];
        let first = &results[0]["locations"][0]["physicalLocation"];
        assert_eq!(log["version"], "2.1.0");
        assert_eq!(first["artifactLocation"]["uri"], "group_vars/a%20b/x.yml");
        assert_eq!(first["region"], json!({ "startLine": 3, "startColumn": 7 }));
        assert_eq!(results[1]["level"], "warning");
        assert_eq!(results[1]["locations"][0]["physicalLocation"].get("region"), None);
        assert_eq!(
            log["runs"][0]["tool"]["driver"]["rules"][results[1]["ruleIndex"].as_u64().unwrap() as usize]["id"],
            "empty-inventory"
        );
    }
}
