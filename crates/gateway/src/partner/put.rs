//! `PUT`: one file as the body, of known or unknown length.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use ledger::{State, Upload};
use upload::{Algorithm, Append, Create, Digest, End};

use super::append::refusal;
use super::how_to_send::check_file;
use super::idempotency::{self, Turn};
use super::protocol::{Protocol, rufh};
use super::request::PartnerRequest;
use super::response::{appended, receipt, set};
use super::{ask, create, nfr, resume, ticket, unfinished};
use crate::headers::resumable;
use crate::http::head::Length;
use crate::http::request_body::RateLimitedBody;
use crate::problem::{self, Problem};
use crate::{file_name, headers};

pub(crate) async fn put(request: PartnerRequest, body: Body) -> Result<Response, Problem> {
    check_file(&request, Length::Required)?;
    nfr::check_query(&request)?;
    let resumes = resumes(&request).await?;
    if request.headers.contains_key("upload-complete") && !resumes {
        return create::rufh(&request, body).await;
    }
    rufh::refuse_oldest(&request.headers)?;
    let ask = ask::in_query(&request)?;
    let declared_type = headers::text(&request.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let name = name(&request, declared_type)?;
    if resumes {
        return resume::by_name(&request, &name, body).await;
    }
    let ticket = match ticket::named(&request) {
        Some(named) if idempotency::is_done(&request, &name, &named).await? => named,
        _ => ticket::resolve(&request, None).await?,
    };
    let body_bytes = headers::content_length(&request.headers);
    let (length, end) = extent(&request, body_bytes)?;
    // A digest of the body is one of the file only if the body is the whole file.
    let (digests, content) = match end {
        End::Body => (headers::digests(&request.headers)?, Vec::new()),
        End::Length | End::Later => {
            (resumable::file_digests(&request.headers)?, resumable::content_digests(&request.headers)?)
        }
    };
    let sha256 = digests.iter().find(|digest| digest.algorithm == Algorithm::Sha256);
    let sha256 = sha256.map(|digest| digest.hex.as_str());
    let key = match idempotency::claim(&request, (&name, &ticket), length, sha256).await? {
        Turn::Done(uploads) => return idempotency::replay(&request, &uploads),
        Turn::New(key) => key,
    };
    let content_type = file_name::content_type(declared_type, &name);
    let append =
        Append { length, body_bytes, end, max_bytes: request.max_bytes(), content, ..Append::default() };
    let file = File { name, ticket, content_type, digests, append, ask, key };
    let body = RateLimitedBody::new(body, end == End::Body, &request.state.limits);
    let uploads = request.state.uploads.clone();
    // In a task of its own, which continues if the client has sent everything and left. It starts before the upload does: an
    // upload that was recorded just as its client left would otherwise belong to nobody.
    let task = uploads.spawn(receive(request, file, body));
    let (request, result) =
        task.await.map_err(|error| upload::Error::Internal(format!("append: {error}")))?;
    match result? {
        (_, Ok(upload)) if upload.state == State::Complete => {
            Ok(receipt(&request, StatusCode::CREATED, &upload))
        }
        (_, Ok(upload)) => Ok(open(&request, &upload)),
        (id, Err(error)) => Err(refusal(&request, Protocol::Plain, &id, 0, error).await),
    }
}

/// `PUT` to an address that has another use.
pub(crate) async fn reserved(_: PartnerRequest) -> Problem {
    let why = "is an address of its own here. Send the file with `curl -F file=@NAME`, or rename it";
    problem::bad_name(why)
}

/// The refusal of a path with slashes in the file's name.
pub(crate) fn refuse_path(name: &str) -> Problem {
    // As `curl -T FILE` makes it from an address with a slash too many at its end.
    if name.split('/').rev().skip(1).any(str::is_empty) {
        return problem::bad_name("").with_detail(
            "The address has two slashes in a row, and so an empty name before the file's. Remove one of them: \
             https://HOST/u/TOKEN/NAME."
                .into(),
        );
    }
    problem::bad_name("contains a slash")
}

/// What a request says about its file.
struct File {
    name: String,
    ticket: String,
    content_type: String,
    digests: Vec<Digest>,
    append: Append,
    ask: Option<String>,
    key: Option<ledger::Key>,
}

/// An error before there was an upload, or the upload's id and how its append ended.
type Received = Result<(String, Result<Upload, upload::Error>), upload::Error>;

async fn receive(
    request: PartnerRequest,
    file: File,
    mut body: RateLimitedBody,
) -> (PartnerRequest, Received) {
    let (uploads, ledger) = (&request.state.uploads, &request.state.ledger);
    let File { name, ticket, content_type, digests, append, ask, key } = file;
    let new = Create {
        link: &request.link,
        ticket: &ticket,
        name: &name,
        content_type: &content_type,
        length: append.length,
        resumable: true,
        begins_with_body: true,
        digests: &digests,
        tus_metadata: None,
        ask: ask.as_deref(),
    };
    let ids = match uploads.create_replacing_idle(&new).await {
        Ok(created) => [created.id],
        Err(error) => {
            idempotency::settle(ledger, key.as_ref(), None).await;
            return (request, Err(error));
        }
    };
    if let Some(key) = &key {
        let _ = idempotency::started(&request, key, &ids, &ids[0]).await;
    }
    let result = match uploads.append(&ids[0], &append, &mut body).await {
        Err(error) => Err(idempotency::why_ended(ledger, key.as_ref(), &ids, error).await),
        done => done,
    };
    // An open upload can still be resumed, so its key is not done.
    let done = result.as_ref().ok().filter(|upload| upload.state == State::Complete);
    let done = done.map(|upload| [upload.id.clone()]);
    idempotency::settle(ledger, key.as_ref(), done.as_ref().map(<[String; 1]>::as_slice)).await;
    let [id] = ids;
    (request, Ok((id, result)))
}

/// The answer to a range that does not end its file: the offset, and where to resume.
fn open(request: &PartnerRequest, upload: &Upload) -> Response {
    let mut response = appended(request, Protocol::Plain, StatusCode::NO_CONTENT, upload);
    set(response.headers_mut(), "location", &request.location(&upload.id));
    response
}

/// Whether the request resumes an upload of its name. With `Upload-Offset: 0` it does if there is one that may become this file;
/// one that is further along is told its offset.
async fn resumes(request: &PartnerRequest) -> Result<bool, Problem> {
    let range = headers::content_range(&request.headers)?.map(|range| range.first);
    let offset = resumable::offset(&request.headers)?;
    match (range.max(offset), request.segment()) {
        (Some(1..), _) => Ok(true),
        (Some(0), Some(segment)) if offset == Some(0) && range.is_none() => {
            // Half a file says nothing about the length of the whole.
            let is_rest = resumable::complete(&request.headers)?.unwrap_or(true);
            let sent = headers::content_length(&request.headers).filter(|_| is_rest);
            let length = resumable::length(&request.headers)?.or(sent);
            let name = file_name::from_segment(segment)?;
            if !unfinished::candidates(request, &name, length).await?.is_empty() {
                return Ok(true);
            }
            // One of another length is another file of that name. With several, nobody knows which is meant.
            let all = unfinished::candidates(request, &name, None).await?;
            if all.len() > 1 { Err(unfinished::ambiguous(request, &name, &all)) } else { Ok(false) }
        }
        _ => Ok(false),
    }
}

fn name(request: &PartnerRequest, declared_type: Option<&str>) -> Result<String, Problem> {
    if let Some(segment) = request.segment() {
        return file_name::from_segment(segment);
    }
    match headers::named(&request.headers)? {
        Some(named) => file_name::check(&named),
        None => Ok(file_name::generate(declared_type, ledger::now_ms())),
    }
}

/// The file's length, if it is known, and whether the file ends with this body. A `Content-Range` must agree with the length of
/// the body, and gives it if the body does not.
fn extent(request: &PartnerRequest, length: Option<u64>) -> Result<(Option<u64>, End), Problem> {
    let Some(range) = headers::content_range(&request.headers)? else { return Ok((length, End::Body)) };
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
