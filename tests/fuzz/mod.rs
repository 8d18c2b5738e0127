//! Fuzz targets and their corpus, replayed.

pub mod corpus;
pub mod entries;
