//! The bytes and the index behind the S3 server: one file per part or small object, one manifest per object.
//! Invariant: an answer claims only what is flushed, and the index in memory never runs ahead of the disk.
//!
//! Completing a multipart upload copies nothing: the manifest lists the parts' files. A file that no manifest and no open upload
//! refers to is an orphan, which the next start removes.

mod files;
mod index;
mod list;
mod object;
mod open;
mod read;
mod receive;
mod records;
mod state;
mod upload;

pub(crate) use self::index::Object;
pub(crate) use self::list::{PAGE_MAX, Start};
pub(crate) use self::object::Condition;
pub(crate) use self::read::stream;
pub(crate) use self::records::{Attributes, Part, UploadRecord};
pub(crate) use self::state::{ABORT_AFTER_DAYS, REGION, Store};
pub(crate) use self::upload::{Complete, ListedPart};
