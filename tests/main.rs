//! The one test binary.
mod cli;
mod git_fetch;
mod git_publish;
mod git_rig;
mod settings;
