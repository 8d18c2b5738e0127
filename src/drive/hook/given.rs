//! What a hook's program is given: `input.json` and environment variables.
//!
//! | variable | |
//! |---|---|
//! | `RACKWRIGHT_CLUSTER` | the cluster |
//! | `RACKWRIGHT_HOST`, `RACKWRIGHT_FQDN` | the host it is run for; empty when it is for none |
//! | `RACKWRIGHT_TARGETS` | all hosts it is run for this time, separated by spaces |
//! | `ARG_<NAME>` | an argument: a text as it is, `true` or `false`, a number, anything else as JSON; unset when not given |
//! | `ARG_<NAME>`, `ARG_<NAME>_COUNT`, `ARG_<NAME>_0`, … | a list: its items joined by newlines, how many, and each |
//!
//! A value that no environment can hold (a NUL, more than 128 KiB) is in `input.json` only.

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::job::Job;
use crate::model::HostSpec;

/// Longest entry of an environment (`MAX_ARG_STRLEN` of Linux), name, `=` and NUL included.
const LONGEST: usize = 128 << 10;
/// Size of a whole environment that every Linux takes (`execve(2)`: a quarter of the stack's limit, 8 MiB).
const WHOLE: usize = 1 << 20;

/// What a program is given. Holds secrets.
pub struct Given {
    /// `input.json`.
    pub input: Zeroizing<Vec<u8>>,
    /// Environment variables.
    pub env: Vec<(String, Zeroizing<String>)>,
    /// Names of variables that are not there because no environment can hold them.
    pub left_out: Vec<String>,
}

impl Given {
    /// For one run of a hook's program.
    pub(super) fn new(job: &Job<'_>, host: Option<&HostSpec>) -> Given {
        let targets: Vec<&str> = job.run.hosts().map(|host| &*host.id.host).collect();
        let args: Map<String, Value> = serde_json::from_str(job.hook.args.reveal()).unwrap_or_default();
        let name = host.map_or("", |host| &*host.id.host);
        let fqdn = host.map_or("", |host| host.fqdn.as_str());
        let cluster = job.run.cluster;
        let mut given = Given { input: Zeroizing::default(), env: Vec::new(), left_out: Vec::new() };
        given.set("RACKWRIGHT_CLUSTER", cluster.name.as_str());
        given.set("RACKWRIGHT_HOST", name);
        given.set("RACKWRIGHT_FQDN", fqdn);
        given.set("RACKWRIGHT_TARGETS", &targets.join(" "));
        args.iter().for_each(|(name, value)| given.argument(name, value));
        let input = json!({
            "cluster": cluster.name.as_str(), "domain": cluster.domain, "host": name, "fqdn": fqdn, "targets": targets,
            "args": args,
        });
        given.input = Zeroizing::new(input.to_string().into_bytes());
        given
    }

    fn argument(&mut self, name: &str, value: &Value) {
        let name = format!("ARG_{}", name.to_ascii_uppercase().replace('-', "_"));
        if let Value::Array(items) = value {
            let items: Vec<_> = items.iter().filter_map(text).collect();
            self.set(&name, &Zeroizing::new(items.iter().map(|it| it.as_str()).collect::<Vec<_>>().join("\n")));
            self.set(&format!("{name}_COUNT"), &items.len().to_string());
            items.iter().enumerate().for_each(|(index, item)| self.set(&format!("{name}_{index}"), item));
        } else if let Some(text) = text(value) {
            self.set(&name, &text);
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        let size = name.len() + value.len() + 2;
        let whole: usize = self.env.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !name.bytes().all(fits) || value.contains('\0') || size > LONGEST || whole + size > WHOLE {
            self.left_out.push(name.to_owned());
        } else {
            self.env.push((name.to_owned(), Zeroizing::new(value.to_owned())));
        }
    }

    /// The environment as a text that a shell reads.
    pub(crate) fn as_shell(&self) -> Zeroizing<String> {
        // Made in one piece of memory: a growing text would leave copies behind.
        let size = self.env.iter().map(|(name, value)| name.len() + 4 * value.len() + 12).sum();
        let mut text = Zeroizing::new(String::with_capacity(size));
        for (name, value) in &self.env {
            text.push_str("export ");
            text.push_str(name);
            text.push('=');
            quote(value, &mut text);
            text.push('\n');
        }
        text
    }
}

/// A value as a text; `None` for one that is not given.
fn text(value: &Value) -> Option<Zeroizing<String>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Zeroizing::new(text.clone())),
        other => Some(Zeroizing::new(other.to_string())),
    }
}

/// A text as one word of a POSIX shell (XCU 2.2.2): in single quotes, a single quote itself between them.
pub(super) fn quote(text: &str, to: &mut String) {
    to.push('\'');
    for (index, part) in text.split('\'').enumerate() {
        if index > 0 {
            to.push_str("'\\''");
        }
        to.push_str(part);
    }
    to.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Given {
        Given { input: Zeroizing::default(), env: Vec::new(), left_out: Vec::new() }
    }

    #[test]
    fn arguments_become_variables() {
        let mut given = empty();
        let args = json!({
            "disk": "a b", "ext_db": true, "weight": 1.5, "n": 3, "none": null, "body": {"x": [1]}, "list": ["a", "b c"],
            "no": [],
        });
        for (name, value) in args.as_object().unwrap() {
            given.argument(name, value);
        }
        let env: Vec<_> = given.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let wanted = [
            ("ARG_DISK", "a b"),
            ("ARG_EXT_DB", "true"),
            ("ARG_WEIGHT", "1.5"),
            ("ARG_N", "3"),
            ("ARG_BODY", "{\"x\":[1]}"),
            ("ARG_LIST", "a\nb c"),
            ("ARG_LIST_COUNT", "2"),
            ("ARG_LIST_0", "a"),
            ("ARG_LIST_1", "b c"),
            ("ARG_NO", ""),
            ("ARG_NO_COUNT", "0"),
        ];
        assert_eq!(env, wanted);
    }

    #[test]
    fn what_no_environment_holds_is_left_out() {
        let mut given = empty();
        given.set("ARG_A", "a\0b");
        given.set("ARG_B", &"x".repeat(LONGEST));
        given.set("ARG_C;reboot", "x");
        (0..20).for_each(|index| given.set(&format!("ARG_{index}"), &"x".repeat(100_000)));
        assert_eq!(given.left_out[..3], ["ARG_A", "ARG_B", "ARG_C;reboot"]);
        assert_eq!((given.env.len(), given.left_out.len()), (10, 13));
    }

    #[test]
    fn texts_are_quoted_for_a_shell() {
        let mut given = empty();
        given.set("ARG_A", "it's $(reboot) `x` \\ \"y\"\nz");
        assert_eq!(given.as_shell().as_str(), "export ARG_A='it'\\''s $(reboot) `x` \\ \"y\"\nz'\n");
    }
}
