//! The one test binary.
#![allow(clippy::disallowed_methods, reason = "tests run programs, read clocks and are told things by the environment")]

mod bmc_rack;
mod bmc_redfish;
mod cli;
mod git_fetch;
mod git_publish;
mod git_rig;
mod http_checkin;
mod http_files;
mod http_flow;
mod http_out;
mod http_push;
mod http_rig;
mod http_status;
mod licences;
mod machine;
mod net_dhcp;
mod net_plan;
mod net_support;
mod net_tftp;
mod racks;
mod repo_cli;
mod repo_fuzz;
mod repo_load;
mod repo_mistakes;
mod repo_pvc;
mod repo_render;
mod repo_schema;
mod repo_support;
mod settings;
mod sim;
mod tidy;
mod tidy_text;
