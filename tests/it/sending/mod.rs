//! Sending a file in one go: `PUT`, forms, scripts, names, digests and retries.

mod digests;
mod file_names;
mod form;
mod form_parts;
mod idempotency;
mod languages;
mod page;
mod put;
mod round_trip;
mod send_sh;
