//! placeholder; the map is written when the house stands
pub mod cli;
pub mod daemon;
pub mod drive;
pub mod model;
pub mod plan;
pub mod repo;
pub mod serve;
pub mod settings;
pub mod sim;
