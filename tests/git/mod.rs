//! Git: fetch, publish, write back.

mod fetch;
mod publish;
mod writeback;
