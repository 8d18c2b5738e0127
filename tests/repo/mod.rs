//! The repository: read, refused, rendered.

mod bmc;
mod cli;
mod fuzz;
pub mod hook;
mod hook_own;
mod hook_programs;
mod hook_secret;
mod load;
mod mistakes;
mod pvc;
mod render;
mod schema;
mod secret;
