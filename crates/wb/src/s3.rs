//! A bucket read directly, with the usual AWS credentials and without the gateway.

pub(crate) mod content;
pub(crate) mod entry;
pub(crate) mod location;
pub(crate) mod resolve;
pub(crate) mod store;
