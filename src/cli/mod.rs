//! The command line: one file per command family; the only place that prints.

mod bmc;
mod completions;
mod console;
pub mod demo;
mod explain;
mod export;
mod plan;
mod preflight;
mod render;
mod replay;
mod request;
mod run;
mod schema;
mod source;
mod status;
mod table;
mod validate;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::model::Time;

/// Turns a git push of cluster definitions into running bare metal.
#[derive(Debug, Parser)]
#[command(name = "rackwright", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// How log lines are written (to standard error)
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    /// Log more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole simulated rack on this machine, without root
    Demo(demo::DemoArgs),
    /// Run the daemon
    Run(run::RunArgs),
    /// Check a repository and print every finding
    Validate(validate::ValidateArgs),
    /// Show what merging a change would do to each host
    Plan(plan::PlanArgs),
    /// Print the boot and answer files of a host, or a configuration for another DHCP server
    Render(render::RenderArgs),
    /// Show where every host stands
    Status(status::StatusArgs),
    /// Say why a host is where it is and what can be done about it
    Explain(explain::ExplainArgs),
    /// Say whether this machine is fit to run the daemon, and what to do about it
    Preflight(preflight::PreflightArgs),
    /// Ask or switch the BMC of a host by hand
    Bmc(bmc::BmcArgs),
    /// Open a machine's serial console over its BMC
    Console(console::ConsoleArgs),
    /// Print the JSON Schemas of the repository's files
    Schema(schema::SchemaArgs),
    /// Fold a journal and print the plan at its end
    Replay(replay::ReplayArgs),
    /// Print the completions of a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page
    Man,
    /// Make the HTTP request that a hook's input.json on standard input describes
    #[command(hide = true)]
    Request(request::RequestArgs),
}

/// Reads the arguments, runs the command, prints the error chain, gives the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log(&cli);
    let could_not_run = if matches!(cli.command, Command::Validate(_)) { 2 } else { 1 };
    let mut out = anstream::stdout();
    let done = dispatch(&cli.command, &mut out).and_then(|code| {
        out.flush().context("standard output")?;
        Ok(code)
    });
    match done {
        Ok(code) => ExitCode::from(code),
        // Whoever reads us has seen enough (`rackwright status | head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let bold = anstyle::AnsiColor::Red.on_default().bold();
            let _ = writeln!(anstream::stderr(), "{bold}error:{bold:#} {error:#}");
            ExitCode::from(could_not_run)
        }
    }
}

fn dispatch(command: &Command, out: &mut dyn Write) -> anyhow::Result<u8> {
    match command {
        Command::Demo(args) => demo::demo(args, out),
        Command::Run(args) => run::run(args),
        Command::Validate(args) => validate::validate(args, out),
        Command::Plan(args) => plan::plan(args, out),
        Command::Render(args) => render::render(args, out),
        Command::Status(args) => status::status(args, out),
        Command::Explain(args) => explain::explain(args, out),
        Command::Preflight(args) => preflight::preflight(args, out),
        Command::Bmc(args) => bmc::bmc(args, out),
        Command::Console(args) => console::console(args),
        Command::Schema(args) => schema::schema(args, out),
        Command::Replay(args) => replay::replay(args, out),
        Command::Completions(args) => completions::completions(args, out),
        Command::Request(args) => request::request(args),
        Command::Man => completions::man(out),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}

/// Logs go to standard error. `RUST_LOG` (`warn,rackwright=debug`) overrides `-v`.
fn log(cli: &Cli) {
    let serves = matches!(cli.command, Command::Run(_));
    let level = match cli.verbose {
        0 if serves => LevelFilter::INFO,
        0 => LevelFilter::WARN,
        1 if serves => LevelFilter::DEBUG,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    // Other crates' details are theirs, unless everything is asked for.
    let others = if cli.verbose > 1 { level } else { level.min(LevelFilter::WARN) };
    let default = Targets::new().with_default(others).with_target("rackwright", level);
    let chosen = crate::settings::environment(&["RUST_LOG"]).pop();
    let chosen = chosen.and_then(|(_, text)| text.to_str().and_then(|text| text.parse().ok()));
    let lines = tracing_subscriber::registry().with(chosen.unwrap_or(default));
    let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let format = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(colour);
    match cli.log_format {
        LogFormat::Text => lines.with(format).init(),
        LogFormat::Json => lines.with(format.json()).init(),
    }
}

/// A runtime for a command that waits for something.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")
}

/// What time it is, for "since" and "until".
fn now() -> Time {
    crate::daemon::clock::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
