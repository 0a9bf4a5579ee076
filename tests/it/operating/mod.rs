//! Running a gateway: commands, shutdown, logs, metrics and the stores it runs on.

mod admin;
mod clock;
mod demo;
mod environment;
mod metrics;
mod observability;
mod rebuild;
mod s3_compatibility;
mod s3_credentials;
mod secrets_in_logs;
mod shutdown;
