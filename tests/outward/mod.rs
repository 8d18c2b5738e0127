//! What is told to receivers and forges, and what is written back.

mod forge;
mod notify;
mod settings;
mod writeback;
