//! `wb --s3`: lists, downloads and verifies straight from a bucket.

mod access;
mod files;
mod lists;
