//! Finds the upload that a client means by its file's name.

use ledger::{Filter, State, Upload};

use super::request::PartnerRequest;
use super::ticket;
use crate::problem::{self, Problem};

/// The link's unfinished uploads that may be meant: of this name and length, and for the ticket that is named.
pub(super) async fn candidates(
    request: &PartnerRequest,
    name: &str,
    length: Option<u64>,
) -> Result<Vec<Upload>, Problem> {
    let known = |upload: &Upload| upload.length.and_then(|length| u64::try_from(length).ok());
    let ticket = ticket::expected(request)?;
    let mut unfinished = request.state.uploads.unfinished(&request.link.id, name).await?;
    unfinished.retain(|upload| {
        let fits = length.is_none() || known(upload).is_none_or(|known| Some(known) == length);
        fits && ticket.as_ref().is_none_or(|ticket| *ticket == upload.ticket)
    });
    Ok(unfinished)
}

/// The one unfinished upload of this name and length, or else the newest complete one.
pub(super) async fn by_name(
    request: &PartnerRequest,
    name: &str,
    length: Option<u64>,
) -> Result<Upload, Problem> {
    let mut unfinished = candidates(request, name, length).await?;
    match unfinished.len() {
        0 => {}
        1 => return Ok(unfinished.remove(0)),
        _ => return Err(ambiguous(request, name, &unfinished)),
    }
    let filter = Filter {
        link_id: Some(request.link.id.clone()),
        name: Some(name.to_owned()),
        ticket: ticket::expected(request)?,
        state: Some(State::Complete),
        limit: 1,
        ..Filter::default()
    };
    let complete = request.state.ledger.uploads(&filter).await?.pop();
    complete.ok_or_else(|| upload::Error::NotFound.into())
}

/// The refusal if several uploads may be meant.
pub(super) fn ambiguous(request: &PartnerRequest, name: &str, candidates: &[Upload]) -> Problem {
    let describe = |upload: &Upload| api::UnfinishedUpload {
        id: upload.id.clone(),
        length: upload.length.map(|length| length.unsigned_abs()),
        offset: upload.offset.unsigned_abs(),
        started_at: ledger::rfc3339(upload.created_at),
        location: request.location(&upload.id),
    };
    let uploads: Vec<_> = candidates.iter().map(describe).collect();
    problem::ambiguous_name(name).with("uploads", serde_json::to_value(uploads).unwrap_or_default())
}
