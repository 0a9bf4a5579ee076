//! `DELETE`: cancels an upload that is not complete, and removes one that is, if the link may.

use axum::http::StatusCode;
use ledger::{Right, State};

use super::request::UploadRequest;
use crate::problem::{self, Problem};

pub(crate) async fn delete(UploadRequest(request): UploadRequest) -> Result<StatusCode, Problem> {
    // For a file that was sent again this is the earlier upload.
    let uploads = &request.state.uploads;
    let upload = uploads.status(&request.link.id, request.upload_id()).await?;
    let (id, actor) = (&upload.id, request.actor());
    // It may have become complete in between.
    if upload.state == State::Complete || !uploads.cancel(id, &actor, "").await? {
        if !request.link.allows(Right::Remove) {
            return Err(problem::not_allowed("remove a file that has arrived"));
        }
        uploads.remove(id, &actor).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
