//! The JSON interface as types: what the gateway answers and what `wb` reads.
//! Invariant: fields that this version does not know are kept in `extra` and written again.

mod ask;
mod audit;
mod contact;
#[cfg(feature = "openapi")]
pub mod described;
mod escalation;
mod hold;
mod limits;
mod link;
mod partner;
mod problem;
mod receipt;
mod ticket;

pub use ask::{Ask, AskList, AskRequest};
pub use audit::{AuditEntry, AuditPage};
pub use contact::{Contact, ContactList};
pub use escalation::{Escalation, EscalationFiles, EscalationList, EscalationStatus};
pub use hold::{Hold, HoldRequest};
pub use limits::{BODY_BYTES_MAX, LINE_CHARS_MAX, TEXT_CHARS_MAX};
pub use link::{CreatedLink, Link, LinkExpiry, LinkLimits, LinkList, LinkRenewal, LinkRequest, SentNote};
pub use partner::{BucketObject, ObjectPage, Partner, PartnerDetails, PartnerList};
pub use problem::Problem;
#[cfg(feature = "openapi")]
pub use receipt::MaybeProgress;
pub use receipt::{FormAnswer, FormFile, Progress, Receipt, UnfinishedUpload, UploadPage};
pub use ticket::{FieldError, OpenedTicket, TicketLink};

/// Fields that this version does not know.
pub type Extra = serde_json::Map<String, serde_json::Value>;

#[cfg(test)]
mod tests;
