//! The command line.

mod commands;
mod export;
mod preflight;
