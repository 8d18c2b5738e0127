//! Where secrets may lie, and how they are read.

mod sources;
mod vault;
