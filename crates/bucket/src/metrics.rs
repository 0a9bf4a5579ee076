//! Metrics: counts and times every attempt of every call, including the SDK's retries.
//! Invariant: no metric contains any part of a key or of the content.

use std::time::Instant;

use aws_sdk_s3::config::interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_types::config_bag::{Storable, StoreReplace};

/// Measures the calls to one bucket.
#[derive(Debug)]
pub(crate) struct CallMetrics {
    bucket: String,
}

/// When the current attempt began.
#[derive(Debug)]
struct Began(Instant);

impl Storable for Began {
    type Storer = StoreReplace<Self>;
}

impl CallMetrics {
    pub(crate) fn new(bucket: &str) -> Self {
        Self { bucket: bucket.to_owned() }
    }
}

impl Intercept for CallMetrics {
    fn name(&self) -> &'static str {
        "CallMetrics"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        cfg.interceptor_state().store_put(Began(Instant::now()));
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let status = context.response().map(|response| response.status().as_u16());
        let failed = context.output_or_error().is_none_or(|result| result.is_err());
        let operation = cfg.load::<Metadata>().map_or("unknown", Metadata::name).to_owned();
        metrics::counter!(
            "weighbridge_s3_attempts_total",
            "operation" => operation.clone(),
            "bucket" => self.bucket.clone(),
            "result" => result(status, failed),
        )
        .increment(1);
        if let Some(Began(began)) = cfg.load::<Began>() {
            metrics::histogram!("weighbridge_s3_attempt_seconds", "operation" => operation)
                .record(began.elapsed());
        }
        Ok(())
    }
}

/// `ok`, the status, `error` (despite a 2xx status), or `no-answer`.
fn result(status: Option<u16>, failed: bool) -> String {
    match (status, failed) {
        (_, false) => "ok".into(),
        (None, true) => "no-answer".into(),
        (Some(200..=299), true) => "error".into(),
        (Some(status), true) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_labelled() {
        for (status, failed, expected) in [
            (Some(200), false, "ok"),
            (Some(200), true, "error"),
            (Some(503), true, "503"),
            (None, true, "no-answer"),
        ] {
            assert_eq!(result(status, failed), expected);
        }
    }
}
