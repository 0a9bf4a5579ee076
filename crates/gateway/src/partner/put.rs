//! `PUT`: one file as the body, of known or unknown length.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use ledger::{State, Upload};
use upload::{Algorithm, Append, Create, Digest, End};

use super::append::{self, Dialect};
use super::idempotency::{self, Turn};
use super::ticket;
use super::{Asking, draft};
use crate::body::{self, Incoming};
use crate::problem::Problem;
use crate::{headers, name};

/// Takes a file. `body` is taken only when it is about to be read.
pub(crate) async fn put(
    asking: Asking,
    segment: Option<&str>,
    body: &mut Option<Body>,
) -> Result<Response, Problem> {
    let goes_on = goes_on(&asking, segment).await?;
    if asking.headers.contains_key("upload-complete") && !goes_on {
        return Box::pin(draft::create(asking, segment, body)).await;
    }
    draft::refuse_oldest(&asking)?;
    let declared_type = headers::text(&asking.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let name = file_name(&asking, segment, declared_type)?;
    if goes_on {
        return Box::pin(append::append_named(asking, &name, body)).await;
    }
    let ticket = match ticket::named(&asking) {
        Some(named) if idempotency::is_done(&asking, &name, &named).await? => named,
        _ => ticket::resolve(&asking, None).await?,
    };
    let body_bytes = headers::content_length(&asking.headers);
    let (length, end) = begins_a_file(&asking, body_bytes)?;
    // What is said of the body is said of the file only where the body is all of it.
    let (digests, content) = match end {
        End::Body => (headers::digests(&asking.headers)?, Vec::new()),
        End::Length | End::Later => (
            headers::upload::file_digests(&asking.headers)?,
            headers::upload::content_digests(&asking.headers)?,
        ),
    };
    let sha256 = digests.iter().find(|digest| digest.algorithm == Algorithm::Sha256);
    let sha256 = sha256.map(|digest| digest.hex.as_str());
    let key = match idempotency::claim(&asking, (&name, &ticket), length, sha256).await? {
        Turn::Done(uploads) => {
            return idempotency::replay(&asking, &uploads);
        }
        Turn::GoOn(key) => key,
    };
    let content_type = name::content_type(declared_type, &name);
    let max_bytes = asking.app.uploads.max_bytes(&asking.link);
    let append = Append { length, body_bytes, end, max_bytes, content, ..Append::default() };
    let file = File { name, ticket, content_type, digests, append, key };
    let incoming = Incoming::new(body.take().unwrap_or_default(), end == End::Body, &asking.app.limits);
    let uploads = asking.app.uploads.clone();
    // A task of its own: it goes on when the client has sent everything and left. It begins before the upload does, or one
    // that is recorded just when its client leaves would belong to nobody.
    let task = uploads.spawn(receive(asking, file, incoming));
    let Received { asking, incoming, result } =
        task.await.map_err(|error| Problem::from(upload::Error::Internal(format!("append: {error}"))))?;
    match result {
        Ok((_, Ok(upload))) if upload.state == State::Complete => {
            Ok(asking.receipt(StatusCode::CREATED, &upload))
        }
        Ok((_, Ok(upload))) => Ok(open(&asking, &upload)),
        Ok((id, Err(error))) => {
            let breaks = matches!(error, upload::Error::Interrupted { .. });
            let problem = append::refusal(&asking, Dialect::Plain, &id, 0, error).await;
            if !breaks {
                body::discard(incoming.into_body(), &asking.app.limits);
            }
            Err(problem)
        }
        Err(refused) => {
            *body = Some(incoming.into_body());
            Err(refused.into())
        }
    }
}

/// What a request says of its file.
struct File {
    name: String,
    ticket: String,
    content_type: String,
    digests: Vec<Digest>,
    append: Append,
    key: Option<ledger::Key>,
}

/// How it went, and what the answer needs.
struct Received {
    asking: Asking,
    incoming: Incoming,
    /// Not begun, and nothing of the body was read; or which upload, and how its append ended.
    result: Result<(String, Result<Upload, upload::Error>), upload::Error>,
}

async fn receive(asking: Asking, file: File, mut incoming: Incoming) -> Received {
    let (uploads, ledger) = (&asking.app.uploads, &asking.app.ledger);
    let File { name, ticket, content_type, digests, append, key } = file;
    let new = Create {
        link: &asking.link,
        ticket: &ticket,
        name: &name,
        content_type: &content_type,
        length: append.length,
        resumable: true,
        begins_with_body: true,
        digests: &digests,
        tus_metadata: None,
    };
    let ids = match uploads.create_replacing_idle(&new).await {
        Ok(created) => [created.id],
        Err(error) => {
            idempotency::settle(ledger, key.as_ref(), None).await;
            return Received { asking, incoming, result: Err(error) };
        }
    };
    if let Some(key) = &key {
        let _ = idempotency::begun(&asking, key, &ids, &ids[0]).await;
    }
    let result = match uploads.append(&ids[0], &append, &mut incoming).await {
        Err(error) => Err(idempotency::why_ended(ledger, key.as_ref(), &ids, error).await),
        done => done,
    };
    // One that may go on is not done yet.
    let done = result.as_ref().ok().filter(|upload| upload.state == State::Complete);
    let done = done.map(|upload| [upload.id.clone()]);
    idempotency::settle(ledger, key.as_ref(), done.as_ref().map(<[String; 1]>::as_slice)).await;
    let [id] = ids;
    Received { asking, incoming, result: Ok((id, result)) }
}

/// A range that does not end its file: how far it has come, and where it goes on.
fn open(asking: &Asking, upload: &Upload) -> Response {
    let mut response = append::answer(asking, Dialect::Plain, StatusCode::NO_CONTENT, upload);
    append::set(&mut response, "location", &asking.location(&upload.id));
    response
}

/// Whether the request goes on with an upload of its name. With `Upload-Offset: 0` it does where there is one that may become
/// this file; one that has come further is told so.
async fn goes_on(asking: &Asking, segment: Option<&str>) -> Result<bool, Problem> {
    let range = headers::content_range(&asking.headers)?.map(|range| range.first);
    let offset = headers::upload::offset(&asking.headers)?;
    match (range.max(offset), segment) {
        (Some(1..), _) => Ok(true),
        (Some(0), Some(segment)) if offset == Some(0) && range.is_none() => {
            // Half a file says nothing of the whole.
            let rest = headers::upload::complete(&asking.headers)?.unwrap_or(true);
            let sent = headers::content_length(&asking.headers).filter(|_| rest);
            let length = headers::upload::length(&asking.headers)?.or(sent);
            let name = name::from_segment(segment)?;
            if !append::candidates(asking, &name, length).await?.is_empty() {
                return Ok(true);
            }
            // One of another length is another file of that name. Of several nobody knows which is meant.
            let all = append::candidates(asking, &name, None).await?;
            if all.len() > 1 { Err(append::ambiguous(asking, &name, &all)) } else { Ok(false) }
        }
        _ => Ok(false),
    }
}

fn file_name(asking: &Asking, segment: Option<&str>, declared_type: Option<&str>) -> Result<String, Problem> {
    if let Some(segment) = segment {
        return name::from_segment(segment);
    }
    match headers::named(&asking.headers)? {
        Some(named) => name::check(&named),
        None => Ok(name::made_up(declared_type, ledger::now_ms())),
    }
}

/// The file's length, where it is known, and whether it ends with this body. A `Content-Range` must agree with the length
/// of the body; where the body does not say it, the range does.
fn begins_a_file(asking: &Asking, length: Option<u64>) -> Result<(Option<u64>, End), Problem> {
    let Some(range) = headers::content_range(&asking.headers)? else { return Ok((length, End::Body)) };
    let ranged = range.last - range.first + 1;
    if let Some(actual) = length.filter(|length| *length != ranged) {
        return Err(upload::Error::LengthMismatch { declared: ranged, actual }.into());
    }
    match range.total {
        Some(total) if total > ranged => Ok((Some(total), End::Length)),
        None => Ok((None, End::Later)),
        Some(_) => Ok((Some(ranged), End::Body)),
    }
}
