//! The one test binary.

mod bmc_rack;
mod bmc_redfish;
mod machine;
