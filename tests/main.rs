//! The one test binary.

mod bmc_rack;
mod bmc_redfish;
mod cli;
mod git_fetch;
mod git_publish;
mod git_rig;
mod machine;
mod settings;
