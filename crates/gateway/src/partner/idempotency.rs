//! `Idempotency-Key` on the partner's side: a request that was done is answered as then; one still running is replaced.

use axum::http::StatusCode;
use axum::response::Response;
use ledger::{Claim, Key, State};
use upload::{Algorithm, Create};

use super::Asking;
use crate::headers;
use crate::problem::{self, Problem};

/// A key is kept for this long.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;
/// Longest key.
const KEY_BYTES_MAX: usize = 255;

/// Why an upload of an older request is ended, in the audit.
const SUPERSEDED: &str = "superseded";

/// What to do with the request.
pub(crate) enum Turn {
    /// Go on; with a key, report to it how it ends.
    GoOn(Option<Key>),
    /// It was done before, with these uploads.
    Done(Vec<ledger::Upload>),
}

/// An upload that its sender goes on with.
pub(crate) enum Created {
    Now(ledger::Upload),
    /// By an earlier request with this key: it may have come further since.
    Before(ledger::Upload),
}

/// Whether a request with this key, link, name and ticket was done before. What has become of the ticket since does not
/// concern its answer, so nobody need be asked about it.
pub(crate) async fn is_done(asking: &Asking, name: &str, ticket: &str) -> Result<bool, Problem> {
    let Some(text) = headers::text(&asking.headers, "idempotency-key")? else { return Ok(false) };
    let since = ledger::now_ms() - KEPT_MS;
    let hash = hash(asking, asking.method.as_str(), text);
    Ok(asking.app.ledger.key_is_done(&hash, &file(name, ticket), since).await?)
}

/// What the key is for: it is the link's and the route's own.
fn hash(asking: &Asking, route: &str, key: &str) -> String {
    ledger::hash_token(&format!("{}\n{route}\n{key}", asking.link.id))
}

fn file(name: &str, ticket: &str) -> String {
    format!("{ticket}/{name}")
}

/// Claims the request's key, if it has one. A request still running under it is stopped.
pub(crate) async fn claim(
    asking: &Asking,
    file: (&str, &str),
    length: Option<u64>,
    digest: Option<&str>,
) -> Result<Turn, Problem> {
    claim_on(asking, asking.method.as_str(), file, length, digest).await
}

/// Creates an upload that its sender goes on with, once for a key: it is done when it is created. A name that was `made_up`
/// would be another one the next time.
pub(crate) async fn created_once(
    asking: &Asking,
    new: &Create<'_>,
    made_up: bool,
) -> Result<Created, Problem> {
    let name = if made_up { "" } else { new.name };
    let sha256 = new.digests.iter().find(|digest| digest.algorithm == Algorithm::Sha256);
    let sha256 = sha256.map(|digest| digest.hex.as_str());
    let turn = claim_on(asking, "uploads", (name, new.ticket), new.length, sha256).await?;
    let key = match turn {
        Turn::Done(mut uploads) if uploads.len() == 1 => return Ok(Created::Before(uploads.remove(0))),
        Turn::Done(_) => return Err(upload::Error::Gone.into()),
        Turn::GoOn(key) => key,
    };
    let created = asking.app.uploads.create(new).await;
    let ids = created.as_ref().ok().map(|upload| [upload.id.clone()]);
    settle(&asking.app.ledger, key.as_ref(), ids.as_ref().map(<[String; 1]>::as_slice)).await;
    Ok(Created::Now(created?))
}

async fn claim_on(
    asking: &Asking,
    route: &str,
    (name, ticket): (&str, &str),
    length: Option<u64>,
    digest: Option<&str>,
) -> Result<Turn, Problem> {
    let Some(text) = headers::text(&asking.headers, "idempotency-key")? else { return Ok(Turn::GoOn(None)) };
    if text.is_empty() || text.len() > KEY_BYTES_MAX {
        return Err(problem::bad_request("An Idempotency-Key has 1 to 255 characters."));
    }
    let key = Key {
        hash: hash(asking, route, text),
        name: file(name, ticket),
        length: length.and_then(|length| i64::try_from(length).ok()),
        digest: digest.map(str::to_owned),
        attempt: ledger::new_id(),
    };
    let ledger = &asking.app.ledger;
    match ledger.claim_key(&key, ledger::now_ms() - KEPT_MS).await? {
        Claim::New => Ok(Turn::GoOn(Some(key))),
        Claim::Running(uploads) => {
            for id in uploads {
                asking.app.uploads.cancel(&id, &asking.actor(), SUPERSEDED).await?;
            }
            Ok(Turn::GoOn(Some(key)))
        }
        Claim::Mismatch => Err(problem::idempotency_mismatch()),
        Claim::Done(ids) => {
            let mut uploads = Vec::with_capacity(ids.len());
            for id in ids {
                uploads.push(asking.app.uploads.status(&asking.link.id, &id).await?);
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

/// The answer to a single file that was done before.
pub(crate) fn replay(asking: &Asking, uploads: &[ledger::Upload]) -> Result<Response, Problem> {
    match uploads {
        [upload] if upload.state == State::Complete => Ok(asking.receipt(StatusCode::CREATED, upload)),
        _ => Err(upload::Error::Gone.into()),
    }
}

/// Records that a request with a key has begun an upload, and ends that where a newer request has claimed the key by now.
pub(crate) async fn begun(asking: &Asking, key: &Key, ids: &[String], id: &str) -> upload::Result<()> {
    if !asking.app.ledger.note_key(key, ids, false).await.unwrap_or(true) {
        asking.app.uploads.cancel(id, &asking.actor(), SUPERSEDED).await?;
    }
    Ok(())
}

/// Why an append ended: one that was cancelled for a newer request with its key was superseded.
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

/// Records how a request ended: its uploads for good, or nothing where it failed.
pub(crate) async fn settle(ledger: &ledger::Ledger, key: Option<&Key>, uploads: Option<&[String]>) {
    let Some(key) = key else { return };
    let settled = match uploads {
        Some(ids) => ledger.note_key(key, ids, true).await.map(drop),
        None => ledger.drop_key(key).await,
    };
    if let Err(error) = settled {
        tracing::warn!(error = %error, "settle idempotency key");
    }
}
