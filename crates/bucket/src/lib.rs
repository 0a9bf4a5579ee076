//! A client for S3: writes parts and objects, and finds, reads, lists and deletes them.
//! This is the only crate that names aws_sdk_s3. Invariant: everything is sent with a checksum of ours, CRC-64/NVME if
//! the store supports it, so a store that stores damaged bytes has ignored a checksum.

mod buckets;
mod call;
mod checks;
mod config;
mod crc;
mod credentials;
mod error;
mod http;
pub mod layout;
mod list;
mod metrics;
mod payload;
mod probe;
mod read;
mod write;

pub use buckets::{Buckets, SUPPORT_UPLOADER};
pub use config::{Bucket, Config};
pub use crc::{Crc64, Crc64Hasher};
pub use credentials::Credentials;
pub use error::{Error, Result, chain};
pub use http::ca_bundle;
pub use list::{Listed, Object, Page, Unfinished};
pub use payload::Payload;
pub use probe::{Finding, Report, Weight};
pub use read::{Found, Read};
pub use write::{Metadata, PartTag};
