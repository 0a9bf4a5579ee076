//! `Idempotency-Key`: a request that was done before gets the same answer; one that is still running is replaced.

use axum::http::StatusCode;
use axum::response::Response;
use ledger::{Claim, Key, State};
use upload::{Algorithm, Create};

use super::request::PartnerRequest;
use super::response::receipt;
use crate::headers;
use crate::problem::{self, Problem};

const KEPT_MS: i64 = 24 * 60 * 60 * 1000;
const KEY_BYTES_MAX: usize = 255;

/// Why an older request's upload is cancelled, in the audit.
const SUPERSEDED: &str = "superseded";

/// What to do with the request.
pub(crate) enum Turn {
    /// Run it, and record under this key how it ends.
    New(Option<Key>),
    /// It was done before, with these uploads.
    Done(Vec<ledger::Upload>),
}

/// An upload that its sender resumes later.
pub(crate) enum Created {
    Now(ledger::Upload),
    /// By an earlier request with this key. It may have advanced since.
    Before(ledger::Upload),
}

/// Whether a request with this key, link, name and ticket was done before. Its answer does not depend on the ticket's state
/// now, so the desk need not be asked.
pub(crate) async fn is_done(request: &PartnerRequest, name: &str, ticket: &str) -> Result<bool, Problem> {
    let Some(text) = headers::text(&request.headers, "idempotency-key")? else { return Ok(false) };
    let since = ledger::now_ms() - KEPT_MS;
    let hash = hash(request, request.method.as_str(), text);
    Ok(request.state.ledger.key_is_done(&hash, &file(name, ticket), since).await?)
}

/// A key belongs to one link and one route.
pub(super) fn hash(request: &PartnerRequest, route: &str, key: &str) -> String {
    ledger::hash_token(&format!("{}\n{route}\n{key}", request.link.id))
}

fn file(name: &str, ticket: &str) -> String {
    format!("{ticket}/{name}")
}

/// Claims the request's key, if it has one, and stops a request that is still running under it.
pub(crate) async fn claim(
    request: &PartnerRequest,
    file: (&str, &str),
    length: Option<u64>,
    digest: Option<&str>,
) -> Result<Turn, Problem> {
    claim_on(request, request.method.as_str(), file, length, digest).await
}

/// Creates an upload that its sender resumes later, once for each key: the key is done when the upload exists. A generated name
/// would differ the next time.
pub(crate) async fn create_once(
    request: &PartnerRequest,
    new: &Create<'_>,
    generated: bool,
) -> Result<Created, Problem> {
    let name = if generated { "" } else { new.name };
    let sha256 = new.digests.iter().find(|digest| digest.algorithm == Algorithm::Sha256);
    let sha256 = sha256.map(|digest| digest.hex.as_str());
    let turn = claim_on(request, "uploads", (name, new.ticket), new.length, sha256).await?;
    let key = match turn {
        Turn::Done(mut uploads) if uploads.len() == 1 => return Ok(Created::Before(uploads.remove(0))),
        Turn::Done(_) => return Err(upload::Error::Gone.into()),
        Turn::New(key) => key,
    };
    let created = request.state.uploads.create(new).await;
    let ids = created.as_ref().ok().map(|upload| [upload.id.clone()]);
    settle(&request.state.ledger, key.as_ref(), ids.as_ref().map(<[String; 1]>::as_slice)).await;
    Ok(Created::Now(created?))
}

/// The request's key, if it has one.
pub(super) fn key(request: &PartnerRequest) -> Result<Option<String>, Problem> {
    let Some(text) = headers::text(&request.headers, "idempotency-key")? else { return Ok(None) };
    if text.is_empty() || text.len() > KEY_BYTES_MAX {
        return Err(problem::bad_request(
            "The Idempotency-Key must have 1 to 255 characters. Send one of that length.",
        ));
    }
    Ok(Some(text.to_owned()))
}

async fn claim_on(
    request: &PartnerRequest,
    route: &str,
    (name, ticket): (&str, &str),
    length: Option<u64>,
    digest: Option<&str>,
) -> Result<Turn, Problem> {
    let Some(text) = key(request)? else { return Ok(Turn::New(None)) };
    let key = Key {
        hash: hash(request, route, &text),
        name: file(name, ticket),
        length: length.and_then(|length| i64::try_from(length).ok()),
        digest: digest.map(str::to_owned),
        attempt: ledger::new_id(),
    };
    let ledger = &request.state.ledger;
    match ledger.claim_key(&key, ledger::now_ms() - KEPT_MS).await? {
        Claim::New => Ok(Turn::New(Some(key))),
        Claim::Running(uploads) => {
            for id in uploads {
                request.state.uploads.cancel(&id, &request.actor(), SUPERSEDED).await?;
            }
            Ok(Turn::New(Some(key)))
        }
        Claim::Mismatch => Err(problem::idempotency_mismatch()),
        Claim::Done(ids) => {
            let mut uploads = Vec::with_capacity(ids.len());
            for id in ids {
                uploads.push(request.state.uploads.status(&request.link.id, &id).await?);
            }
            if let [upload] = uploads.as_slice() {
                let other_length = key.length.is_some_and(|length| upload.length != Some(length));
                let other_digest =
                    upload.sha256.is_some() && key.digest.is_some() && key.digest != upload.sha256;
                if !name.is_empty() && (other_length || other_digest) {
                    return Err(problem::idempotency_mismatch());
                }
            }
            Ok(Turn::Done(uploads))
        }
    }
}

/// The answer to a single file that was sent before.
pub(crate) fn replay(request: &PartnerRequest, uploads: &[ledger::Upload]) -> Result<Response, Problem> {
    match uploads {
        [upload] if upload.state == State::Complete => Ok(receipt(request, StatusCode::CREATED, upload)),
        _ => Err(upload::Error::Gone.into()),
    }
}

/// Records that a request with a key started an upload, and cancels that if a newer request has claimed the key.
pub(crate) async fn started(
    request: &PartnerRequest,
    key: &Key,
    ids: &[String],
    id: &str,
) -> upload::Result<()> {
    if !request.state.ledger.note_key(key, ids, false).await.unwrap_or(true) {
        request.state.uploads.cancel(id, &request.actor(), SUPERSEDED).await?;
    }
    Ok(())
}

/// Why an append ended: if it was cancelled for a newer request with its key, it was superseded.
pub(crate) async fn why_ended(
    ledger: &ledger::Ledger,
    key: Option<&Key>,
    ids: &[String],
    error: upload::Error,
) -> upload::Error {
    match (error, key) {
        (upload::Error::Gone, Some(key)) if !ledger.note_key(key, ids, false).await.unwrap_or(true) => {
            upload::Error::Superseded
        }
        (error, _) => error,
    }
}

/// Records how a request ended: its uploads, or nothing if it failed.
pub(crate) async fn settle(ledger: &ledger::Ledger, key: Option<&Key>, uploads: Option<&[String]>) {
    let Some(key) = key else { return };
    let settled = match uploads {
        Some(ids) => ledger.note_key(key, ids, true).await.map(drop),
        None => ledger.drop_key(key).await,
    };
    if let Err(error) = settled {
        tracing::warn!(error = %error, "recording the end of an idempotent request failed");
    }
}
