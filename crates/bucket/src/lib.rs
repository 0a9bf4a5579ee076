//! S3 out: parts and objects put with a checksum the store verifies, found, read, listed and removed again.
//! The only crate that says aws_sdk_s3. Invariant: every byte sent carries a CRC-64/NVME of ours, so a store that
//! accepts damaged bytes is the store's lie, never this crate's.

mod buckets;
mod config;
mod crc;
mod error;
mod observe;
mod payload;
mod read;
mod write;

pub use buckets::{Buckets, SUPPORT_UPLOADER};
pub use config::{Bucket, Config, Credentials};
pub use crc::{Crc64, Crc64Hasher};
pub use error::{Error, Result};
pub use payload::Payload;
pub use read::{Found, Object, Page, Read};
pub use write::{Metadata, PartTag};
