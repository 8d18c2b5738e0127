//! The one test binary.

mod bmc_rack;
mod bmc_redfish;
mod cli;
mod git_fetch;
mod git_publish;
mod git_rig;
mod machine;
mod net_dhcp;
mod net_plan;
mod net_support;
mod net_tftp;
mod repo_cli;
mod repo_fuzz;
mod repo_load;
mod repo_mistakes;
mod repo_pvc;
mod repo_render;
mod repo_schema;
mod repo_support;
mod settings;
