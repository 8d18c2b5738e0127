//! The one test binary.
#![allow(clippy::disallowed_methods, reason = "tests run programs, read clocks and are told things by the environment")]

mod ansible;
mod bmc;
mod cli;
mod docs;
mod e2e;
mod fuzz;
mod git;
mod hook;
mod http;
mod images;
mod machine;
mod net;
mod outward;
mod plan;
mod reasons;
mod repo;
mod rig;
mod scalars;
mod secrets;
mod settings;
mod sim;
mod ssh;
mod tidy;
mod trace;
