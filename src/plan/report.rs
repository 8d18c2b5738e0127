//! What are people told? The status branch's files, the API's answers and the page are all made from these.
//!
//! `report/` makes them ([`host_status`], [`cluster_status`], [`report`]), words the commit ([`commit_message`]), and
//! reads them back ([`adoption`]) for a daemon that lost its journal.

mod adoption;
mod commit;
mod make;

pub use crate::model::status::*;
pub use adoption::{adoption, sequence};
pub use commit::commit_message;
pub use make::{cluster_status, host_status, report, unclaimed};
