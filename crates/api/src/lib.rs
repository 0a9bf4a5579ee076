//! The JSON interface as types: what the gateway answers and what `wb` reads.
//! Invariant: fields that this version does not know are kept in `extra` and written again.

mod link;
mod partner;
mod problem;
mod receipt;

pub use link::{CreatedLink, Link, LinkLimits, LinkList, LinkRequest};
pub use partner::{BucketObject, ObjectPage, Partner, PartnerDetails, PartnerList};
pub use problem::Problem;
pub use receipt::{FormAnswer, FormFile, Progress, Receipt, UnfinishedUpload, UploadPage};

/// Fields that this version does not know.
pub type Extra = serde_json::Map<String, serde_json::Value>;

#[cfg(test)]
mod tests;
