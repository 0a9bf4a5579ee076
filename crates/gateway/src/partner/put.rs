//! `PUT`: one file as the body, of known or unknown length.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::Response;
use upload::{Algorithm, Append, New};

use super::Asking;
use super::idempotency::{self, Turn};
use super::ticket;
use crate::body::{self, Incoming};
use crate::problem::{self, Problem};
use crate::{headers, name};

/// Takes a file. `body` is taken only when it is about to be read.
pub(crate) async fn put(
    asking: Asking,
    segment: Option<&str>,
    body: &mut Option<Body>,
) -> Result<Response, Problem> {
    let declared_type = headers::text(&asking.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let name = file_name(&asking, segment, declared_type)?;
    let ticket = match ticket::named(&asking) {
        Some(named) if idempotency::is_done(&asking, &name, &named).await? => named,
        _ => ticket::resolve(&asking, None).await?,
    };
    let length = headers::content_length(&asking.headers);
    let length = begins_a_file(&asking, length)?;
    let digests = headers::digests(&asking.headers)?;
    let sha256 = digests.iter().find(|digest| digest.algorithm == Algorithm::Sha256);
    let sha256 = sha256.map(|digest| digest.hex.as_str());
    let key = match idempotency::claim(&asking, (&name, &ticket), length, sha256).await? {
        Turn::Done(uploads) => {
            return idempotency::replay(&asking, &uploads);
        }
        Turn::GoOn(key) => key,
    };
    let content_type = name::content_type(declared_type, &name);
    let new = New { link: &asking.link, ticket: &ticket, name: &name, content_type: &content_type, length };
    let created = match asking.app.uploads.create(&new).await {
        Ok(created) => created,
        Err(error) => {
            idempotency::settle(&asking.app.ledger, key.as_ref(), None).await;
            return Err(error.into());
        }
    };
    let append = Append { offset: 0, length, max_bytes: asking.app.uploads.max_bytes(&asking.link), digests };
    let incoming = Incoming::new(body.take().unwrap_or_default(), &asking.app.limits);
    let (result, incoming) = receive(&asking, created.id, append, incoming, key).await?;
    match result {
        Ok(upload) => Ok(asking.receipt(StatusCode::CREATED, &upload)),
        Err(error) => {
            let interrupted =
                matches!(error, upload::Error::Interrupted { .. } | upload::Error::TooSlow { .. });
            let problem = Problem::from(error);
            if interrupted {
                return Err(problem.next(&asking.send_again(&name)));
            }
            body::discard(incoming.into_body(), &asking.app.limits);
            Err(problem)
        }
    }
}

type Received = (Result<ledger::Upload, upload::Error>, Incoming);

/// Appends in a task of its own: it goes on when the client has sent everything and left.
async fn receive(
    asking: &Asking,
    id: String,
    append: Append,
    mut incoming: Incoming,
    key: Option<ledger::Key>,
) -> Result<Received, Problem> {
    let (uploads, ledger) = (asking.app.uploads.clone(), asking.app.ledger.clone());
    let task = asking.app.uploads.spawn(async move {
        let ids = [id];
        if let Some(key) = &key
            && !ledger.note_key(key, &ids, false).await.unwrap_or(true)
        {
            // A newer request with the same key came in between.
            let _ = uploads.cancel(&ids[0]).await;
        }
        let result = uploads.append(&ids[0], &append, &mut incoming).await;
        let done = result.as_ref().ok().map(|upload| [upload.id.clone()]);
        idempotency::settle(&ledger, key.as_ref(), done.as_ref().map(<[String; 1]>::as_slice)).await;
        (result, incoming)
    });
    task.await.map_err(|error| upload::Error::Internal(format!("append: {error}")).into())
}

fn file_name(asking: &Asking, segment: Option<&str>, declared_type: Option<&str>) -> Result<String, Problem> {
    if let Some(segment) = segment {
        return name::from_segment(segment);
    }
    let disposition = asking.headers.get(CONTENT_DISPOSITION);
    match disposition.and_then(|value| headers::disposition_filename(value.as_bytes())) {
        Some(named) => name::check(&named),
        None => Ok(name::made_up(declared_type, ledger::now_ms())),
    }
}

/// A `Content-Range` must be the whole file and agree with the length. Returns the length that is known then: where the
/// body does not say it, the range may.
fn begins_a_file(asking: &Asking, length: Option<u64>) -> Result<Option<u64>, Problem> {
    let Some(range) = headers::content_range(&asking.headers)? else { return Ok(length) };
    let ranged = range.last - range.first + 1;
    if let Some(actual) = length.filter(|length| *length != ranged) {
        return Err(upload::Error::LengthMismatch { declared: ranged, actual }.into());
    }
    if range.first != 0 || range.total.is_some_and(|total| range.last + 1 != total) {
        return Err(problem::bad_request(
            "A file is sent whole here. Leave Content-Range out and send all of it.",
        ));
    }
    Ok(Some(ranged))
}
