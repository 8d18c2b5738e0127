//! The door. Everything is in the library.

fn main() -> std::process::ExitCode {
    rackwright::cli::main()
}
