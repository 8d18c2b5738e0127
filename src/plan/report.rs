//! What are people told? The status branch's files, the API's answers and the page are all made here
//! ([`host_status`], [`cluster_status`], [`report`]), as [`status`](crate::model::status) types; so are the words of a status
//! commit ([`commit_message`]).

mod commit;
mod make;

pub use crate::model::status::*;
pub use commit::commit_message;
pub use make::{cluster_status, host_status, rejected, report, unclaimed};
