//! Helpers for the tests: the real programs as processes, real `curl`, and ways to inspect the results.
//! Each test starts its own world in its own folder. Nothing is shared, so tests run side by side.
#![allow(clippy::missing_panics_doc, reason = "a test helper that fails has found something")]
#![allow(clippy::unwrap_used, reason = "as above")]

mod actions;
mod assert_delivered;
mod curl;
mod described;
mod eventually;
mod flaky_proxy;
mod garage;
mod gateway;
pub mod h2_frames;
mod postgres;
mod postgres_proxy;
mod quirky_s3;
mod raw_client;
mod resumable_client;
mod s3_proxy;
mod sandbox;
mod signed;
mod transport;
mod world;

pub use actions::{noise, object, printed, put_by_hand, repr_digest, side_by_side};
pub use curl::{Answer, curl, curl_command, curl_raw};
pub use described::Described;
pub use eventually::{comments_naming, eventually, eventually_async, objects, sha256, unfinished};
pub use flaky_proxy::{Break, FlakyProxy};
pub use garage::Garage;
pub use gateway::Gateway;
pub use postgres::Postgres;
pub use postgres_proxy::{PostgresProxy, Statement};
pub use quirky_s3::{Checking, Quirks, QuirkyS3, READ_BYTES, RecordedRequest, abort_after, serve_discarding};
pub use raw_client::RawClient;
pub use resumable_client::{ask, break_off, until_offset};
pub use s3_proxy::{Call, Fate, Moment, S3Proxy};
pub use sandbox::Sandbox;
pub use transport::{Authority, Transport};
pub use world::{Shared, World, piped};

use std::path::PathBuf;

/// A program of this workspace, built by the same `cargo test` that built this test.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo test` for the whole workspace, or `cargo build` first",
        path.display()
    );
    path
}

/// Writes a file that only its owner may read, as required for secrets.
pub fn write_private(path: impl AsRef<std::path::Path>, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
