//! A reader of the part of iPXE's script language that boot scripts of installers use. Sans-I/O: it stops where a
//! file is needed and goes on when it is handed over.
#![allow(missing_docs, reason = "the names say the rest")]

use std::collections::BTreeMap;

use crate::model::Mac;

/// Commands after which a script is taken to be in an endless loop.
const FUEL: u32 = 2_000;
/// Scripts that may be chained inside each other.
const DEPTH: usize = 8;

/// What the machine has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Fetch this and hand it to [`Ipxe::fetched`].
    Fetch(String),
    Kernel {
        url: String,
        args: String,
    },
    /// Boot the local disk from inside iPXE (`sanboot`).
    Local,
    /// Leave iPXE without an error: a BIOS goes on to its next boot entry, UEFI firmware may not.
    Exit,
    /// Wait for a moment, then go on.
    Sleep,
    Reboot,
    PowerOff,
    /// The script failed: the firmware goes on to its next boot entry.
    Failed(String),
}

#[derive(Clone)]
struct Frame {
    lines: Vec<String>,
    next: usize,
    /// The rest of the line being run: operator before the command, and the command.
    queue: Vec<(Glue, String)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Glue {
    First,
    And,
    Or,
}

/// An iPXE that runs a script.
#[derive(Clone)]
pub struct Ipxe {
    frames: Vec<Frame>,
    vars: BTreeMap<String, String>,
    mac: Mac,
    kernel: Option<(String, String)>,
    ok: bool,
    fuel: u32,
}

impl Ipxe {
    /// iPXE on the NIC `mac`, with its DHCP answer in `vars` (`next-server`, `ip`, `filename`, `platform`, …).
    pub fn new(mac: Mac, vars: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let vars = vars.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ipxe { frames: Vec::new(), vars, mac, kernel: None, ok: true, fuel: FUEL }
    }

    /// Starts a script; says whether it is one.
    pub fn start(&mut self, body: &[u8]) -> bool {
        let text = String::from_utf8_lossy(body);
        let is_script = text.lines().next().is_some_and(|line| line.trim_end() == "#!ipxe");
        if !is_script || self.frames.len() >= DEPTH {
            return false;
        }
        self.frames.push(Frame { lines: text.lines().map(str::to_owned).collect(), next: 1, queue: Vec::new() });
        true
    }

    /// The file asked for by [`Turn::Fetch`], or `None` when it could not be had.
    pub fn fetched(&mut self, body: Option<&[u8]>) {
        self.ok = body.is_some_and(|body| self.start(body));
    }

    /// Runs until something is needed. `disk_boots` tells whether `sanboot` would succeed.
    pub fn run(&mut self, disk_boots: bool) -> Turn {
        loop {
            let Some(frame) = self.frames.last_mut() else {
                let failed = || Turn::Failed("the boot script left iPXE with an error".into());
                return if self.ok { Turn::Exit } else { failed() };
            };
            if !frame.queue.is_empty() {
                let (glue, command) = frame.queue.remove(0);
                if glue == Glue::First || (glue == Glue::And) == self.ok {
                    self.fuel = self.fuel.saturating_sub(1);
                    if self.fuel == 0 {
                        return Turn::Failed("the script does not come to an end".into());
                    }
                    if let Some(turn) = self.command(&command, disk_boots) {
                        return turn;
                    }
                }
                continue;
            }
            if !self.ok {
                self.frames.pop();
                if self.frames.is_empty() {
                    return Turn::Failed("a command of the boot script failed".into());
                }
                continue;
            }
            match frame.lines.get(frame.next).cloned() {
                None => self.leave(true),
                Some(line) => {
                    frame.next += 1;
                    frame.queue = split(&line);
                }
            }
        }
    }

    /// Ends the innermost script.
    fn leave(&mut self, ok: bool) {
        self.frames.pop();
        self.ok = ok;
    }

    fn command(&mut self, command: &str, disk_boots: bool) -> Option<Turn> {
        let command = self.expand(command);
        let mut words = command.split_whitespace();
        let name = words.next().unwrap_or("");
        let words: Vec<&str> = words.skip_while(|word| word.starts_with("--")).collect();
        self.ok = true;
        match name {
            "" | "echo" | "ifopen" | "ifclose" | "ifconf" | "iflinkwait" | "dhcp" | "clear" | "console"
            | "imgfetch" | "initrd" | "imgstat" | "imgverify" | "imgtrust" | "cpair" | "colour" | "param" => {}
            "prompt" => self.ok = false, // nobody presses a key
            "sleep" => return Some(Turn::Sleep),
            "imgfree" => self.kernel = None,
            "set" => {
                let value = words.get(1..).unwrap_or_default().join(" ");
                self.vars.insert((*words.first()?).to_owned(), value);
            }
            "isset" => self.ok = !words.is_empty(),
            "iseq" => self.ok = words.len() == 2 && words[0] == words[1],
            "goto" => self.goto(words.first().copied().unwrap_or_default()),
            "kernel" | "imgselect" | "module" if !words.is_empty() => {
                self.kernel = Some((words[0].to_owned(), words[1..].join(" ")));
            }
            "imgargs" => {
                if let Some((_, args)) = &mut self.kernel {
                    *args = words.get(1..).unwrap_or_default().join(" ");
                }
            }
            "chain" | "imgexec" if !words.is_empty() => return Some(Turn::Fetch(words[0].to_owned())),
            "boot" | "imgexec" => match self.kernel.take() {
                Some((url, args)) => return Some(Turn::Kernel { url, args }),
                None => self.ok = false,
            },
            "sanboot" if disk_boots => return Some(Turn::Local),
            "exit" => self.leave(words.first().is_none_or(|code| *code == "0")),
            "reboot" => return Some(Turn::Reboot),
            "poweroff" => return Some(Turn::PowerOff),
            _ => self.ok = false,
        }
        None
    }

    fn goto(&mut self, label: &str) {
        let Some(frame) = self.frames.last_mut() else { return };
        let target = frame.lines.iter().position(|line| line.trim().strip_prefix(':').map(str::trim) == Some(label));
        match target {
            Some(line) => {
                frame.next = line + 1;
                frame.queue.clear();
            }
            None => self.ok = false,
        }
    }

    /// Replaces `${name}` and `${name:type}`.
    fn expand(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let Some((name, tail)) = after.split_once('}') else {
                out.push_str("${");
                rest = after;
                continue;
            };
            out.push_str(&self.setting(name));
            rest = tail;
        }
        out.push_str(rest);
        out
    }

    fn setting(&self, name: &str) -> String {
        let (name, kind) = name.split_once(':').unwrap_or((name, ""));
        let name = name.strip_prefix("net0/").or_else(|| name.strip_prefix("netX/")).unwrap_or(name);
        let value = self.vars.get(name).cloned();
        match (name, kind) {
            ("mac", "hexraw") if value.is_none() => self.mac.hex(),
            ("mac", "hexhyp") if value.is_none() => self.mac.to_string().replace(':', "-"),
            ("mac", _) if value.is_none() => self.mac.to_string(),
            _ => value.unwrap_or_default(),
        }
    }
}

/// A line as commands with the operators before them. Labels and comments have none.
fn split(line: &str) -> Vec<(Glue, String)> {
    let line = line.trim();
    if line.starts_with(':') || line.starts_with('#') {
        return Vec::new();
    }
    let mut commands = vec![(Glue::First, String::new())];
    for word in line.split_whitespace() {
        match word {
            "&&" => commands.push((Glue::And, String::new())),
            "||" => commands.push((Glue::Or, String::new())),
            _ => {
                if let Some((_, command)) = commands.last_mut() {
                    command.push_str(word);
                    command.push(' ');
                }
            }
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ipxe() -> Ipxe {
        Ipxe::new(
            Mac([0x52, 0x54, 0, 0xaa, 0xbb, 1]),
            [("next-server", "10.0.0.1".to_owned()), ("platform", "efi".into())],
        )
    }

    #[test]
    fn a_pvc_boot_script_loads_the_installer_with_the_hosts_arguments() {
        let mut ipxe = ipxe();
        assert!(ipxe.start(
            b"#!ipxe\nset root-url tftp://${next-server}\nset seed pvcinstall.seed_file=/host/mac-${mac:hexraw}.preseed\n\
              chain --autofree ${root-url}/host/mac-${mac:hexraw}.ipxe ||\nkernel ${root-url}/vmlinuz ${args} ${seed}\n\
              initrd ${root-url}/initrd.img\nboot\n"
        ));
        assert_eq!(ipxe.run(true), Turn::Fetch("tftp://10.0.0.1/host/mac-525400aabb01.ipxe".into()));
        ipxe.fetched(Some(b"#!ipxe\n\nset args console=ttyS1\n"));
        let Turn::Kernel { url, args } = ipxe.run(true) else { panic!("no kernel") };
        assert_eq!(url, "tftp://10.0.0.1/vmlinuz");
        assert_eq!(args, "console=ttyS1 pvcinstall.seed_file=/host/mac-525400aabb01.preseed");
    }

    #[test]
    fn local_boot_scripts() {
        let script = b"#!ipxe\niseq ${platform} pcbios && goto bios ||\nexit\n:bios\nsanboot --no-describe --drive 0x80 || exit 1\n";
        let mut efi = ipxe();
        efi.start(script);
        assert_eq!(efi.run(true), Turn::Exit);
        efi.start(b"#!ipxe\nexit 1\n");
        assert!(matches!(efi.run(true), Turn::Failed(_)), "the firmware is told");
        for disk in [true, false] {
            let mut bios = ipxe();
            bios.vars.insert("platform".into(), "pcbios".into());
            bios.start(script);
            let got = bios.run(disk);
            assert_eq!((got == Turn::Local, matches!(got, Turn::Failed(_))), (disk, !disk), "{got:?}");
        }
    }

    #[test]
    fn failures_end_the_script_and_loops_end() {
        for (script, ends_well) in
            [("#!ipxe\nchain x\nboot\n", false), ("#!ipxe\n:a\ngoto a\n", false), ("#!ipxe\necho\n", true)]
        {
            let mut ipxe = ipxe();
            ipxe.start(script.as_bytes());
            let mut turn = ipxe.run(true);
            if let Turn::Fetch(_) = turn {
                ipxe.fetched(None);
                turn = ipxe.run(true);
            }
            assert_eq!(!matches!(turn, Turn::Failed(_)), ends_well, "{script}: {turn:?}");
        }
        assert!(!ipxe().start(b"<html>"));
    }

    proptest! {
        #[test]
        fn any_script_comes_to_an_end(lines in prop::collection::vec("(set|goto|chain|sleep|boot|kernel|exit|:a|iseq|sanboot| )( a| \\$\\{a\\}| \\|\\|| && boot){0,3}", 0..20)) {
            let mut ipxe = ipxe();
            ipxe.start(format!("#!ipxe\n{}", lines.join("\n")).as_bytes());
            for _ in 0..FUEL + 2 {
                match ipxe.run(false) {
                    Turn::Fetch(_) => ipxe.fetched(None),
                    Turn::Sleep => {}
                    _ => return Ok(()),
                }
            }
            prop_assert!(false, "never ends");
        }
    }
}
