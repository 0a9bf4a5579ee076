//! What operators see: logs, metrics, traces and health.

pub(crate) mod health;
pub(crate) mod log;
pub(crate) mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
pub(crate) mod requests;
pub(crate) mod scrape;
