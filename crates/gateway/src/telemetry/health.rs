//! Health for load balancers: whether the process answers, and whether it can serve requests.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::state::AppState;

/// How often a write to the ledger is tried. Each costs one flush of its disk.
const TRY_LEDGER_EVERY: Duration = Duration::from_secs(5);
/// A ledger that takes longer counts as down.
const TRY_LEDGER_MAX: Duration = Duration::from_secs(10);

/// The process answers.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready if the gateway is not draining, the ledger answers and can be written, and the shared bucket answers. The desk is not
/// asked, since uploads do not depend on it.
pub(crate) async fn readyz(State(state): State<AppState>) -> Response {
    let reason = if state.draining.load(Ordering::Relaxed) {
        Some("draining")
    } else if state.ledger.ping().await.is_err() {
        Some("the ledger does not respond")
    } else if state.ledger_refuses.load(Ordering::Relaxed) {
        Some("the ledger cannot be written")
    } else if state.buckets.of_partner("").1.probe().await.is_err() {
        Some("the Support Uploader bucket does not respond")
    } else {
        None
    };
    match reason {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

/// Keeps checking that the ledger can be written: uploads need that, and reads do not notice.
pub(crate) async fn try_ledger(state: AppState, stop: CancellationToken) {
    let mut every = tokio::time::interval(TRY_LEDGER_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        let tried = tokio::time::timeout(TRY_LEDGER_MAX, state.ledger.try_write()).await;
        let refuses = match tried {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("nothing was written in {} s", TRY_LEDGER_MAX.as_secs())),
        };
        let before = state.ledger_refuses.swap(refuses.is_some(), Ordering::Relaxed);
        match refuses {
            Some(error) if !before => tracing::error!(error, "the ledger cannot be written: not ready"),
            None if before => tracing::info!("the ledger can be written again"),
            _ => {}
        }
    }
}
