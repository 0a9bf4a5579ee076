//! S3 out: parts and objects put with a checksum the store verifies, found, read, listed and removed again.
//! The only crate that says aws_sdk_s3. Invariant: every byte sent carries a checksum of ours, a CRC-64/NVME
//! wherever the store knows it, so a store that accepts damaged bytes is the store's lie, never this crate's.

mod buckets;
mod config;
mod crc;
mod error;
mod http;
mod identity;
mod observe;
mod payload;
mod probe;
mod read;
mod write;

pub use buckets::{Buckets, SUPPORT_UPLOADER};
pub use config::{Bucket, Config};
pub use crc::{Crc64, Crc64Hasher};
pub use error::{Error, Result};
pub use http::ca_bundle;
pub use identity::Credentials;
pub use payload::Payload;
pub use probe::{Finding, Report, Weight, is_probe};
pub use read::{Found, Listed, Object, Page, Read, Unfinished};
pub use write::{Metadata, PartTag};
