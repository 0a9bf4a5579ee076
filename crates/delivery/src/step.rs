//! Steps of a job that are done once.
//! Invariant: an attempt is recorded before it is made, and its end after it. A step that may have been attempted before looks
//! by itself whether it had its effect.

use ledger::Step;

use crate::error::JobError;
use crate::shared::Shared;

/// Runs a step unless it is done. `run` gets what is known of an earlier attempt, and returns what to remember.
pub(crate) async fn once(
    shared: &Shared,
    subject: &str,
    step: &str,
    run: impl AsyncFnOnce(Option<Step>) -> Result<String, JobError>,
) -> Result<(), JobError> {
    let before = shared.ledger.begin_step(subject, step).await?;
    if before.as_ref().is_some_and(|before| before.done_at.is_some()) {
        return Ok(());
    }
    let result = run(before).await?;
    Ok(shared.ledger.end_step(subject, step, &result).await?)
}
