//! The planner.

mod adopt;
mod bmc;
mod check;
mod cluster;
mod disk;
mod journal;
mod ladder;
mod nic;
mod random;
pub mod task;
mod task_kept;
