//! `rackwright completions` and `rackwright man`: made from the command line's own definition.

use std::io::Write;

use clap::CommandFactory as _;

use super::Cli;
#[derive(clap::Args, Debug)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Prints the completions of a shell.
pub fn completions(args: &CompletionsArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "rackwright", &mut script);
    out.write_all(&script)?;
    Ok(0)
}

/// Prints the manual page: the program's, and a section for each command.
pub fn man(out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut program = Cli::command();
    program.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(program.clone()).render(&mut page)?;
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        let title = format!(".SH \"{}\"\n", command.get_bin_name().unwrap_or_default().to_uppercase());
        page.extend(title.into_bytes());
        let man = clap_mangen::Man::new(command.clone());
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
    }
    // Sections of a command become sub-sections of the page.
    let text = String::from_utf8(page)?;
    let (head, rest) = text.split_once(".SH \"RACKWRIGHT ").unwrap_or((&text, ""));
    out.write_all(head.as_bytes())?;
    if !rest.is_empty() {
        let commands = format!(".SH \"RACKWRIGHT {rest}");
        let nested = |line: &str| match line.strip_prefix(".SH ") {
            Some(title) if !title.starts_with("\"RACKWRIGHT ") => format!(".SS {title}\n"),
            _ => format!("{line}\n"),
        };
        out.write_all(commands.lines().map(nested).collect::<String>().as_bytes())?;
    }
    Ok(0)
}
