//! `demo` and `sandbox`: the embedded S3 server, desk and Slack sink, and a gateway that uses them over HTTP, exactly as it
//! uses real ones.

pub(crate) mod run;
pub(crate) mod sandbox;
mod secrets;
mod seed;
mod setup;
