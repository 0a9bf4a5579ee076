//! Answers about an upload, in the words of the protocol that the client speaks.
//! Invariant: an answer names the durable offset in the ledger, never an expected one.

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ledger::{Destination, State, Upload};

use super::protocol::Protocol;
use super::request::PartnerRequest;
use crate::accept::ResponseFormat;
use crate::headers::{http_date, want_digest};
use crate::http::html;
use crate::http::json::Json;
use crate::to_api;

pub(super) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = value.parse() {
        headers.insert(name, value);
    }
}

/// The receipt, in the format that the client wants.
pub(super) fn receipt(request: &PartnerRequest, status: StatusCode, upload: &Upload) -> Response {
    let location = request.location(&upload.id);
    let mut response = match request.format {
        ResponseFormat::Json => Json(to_api::receipt(upload)).into_response(),
        ResponseFormat::Text => text(upload, &location).into_response(),
        ResponseFormat::Html => html::response(request.language, page(request, upload)),
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    set(headers, "location", &location);
    set(headers, "cache-control", "no-store");
    if status == StatusCode::CREATED {
        give_wanted_digest(request, upload, headers);
    }
    response
}

fn page(request: &PartnerRequest, upload: &Upload) -> String {
    let here = request.here();
    match (&upload.sha256, size(upload)) {
        (Some(sha256), Some(size)) => {
            let location = format!("{here}uploads/{}", upload.id);
            let outcome = stored(upload, size, sha256, &location);
            page::html(&page::OutcomesPage { language: request.language, here: &here, outcomes: &[outcome] })
        }
        _ => unfinished_page(request, upload),
    }
}

/// A stored file on a page.
pub(super) fn stored<'a>(
    upload: &'a Upload,
    size: u64,
    sha256: &'a str,
    location: &'a str,
) -> page::SentFile<'a> {
    let place = upload.destination.map(|destination| match destination {
        Destination::TicketAttachment => page::Place::TicketAttachment,
        Destination::SupportUploader => page::Place::SupportUploader,
        Destination::PartnerBucket => page::Place::PartnerBucket,
    });
    let differs =
        mismatch(upload).map(|[algorithm, announced, actual]| page::Differs { algorithm, announced, actual });
    page::SentFile::Stored {
        name: &upload.name,
        size,
        sha256,
        ticket: &upload.ticket,
        place,
        differs,
        location,
    }
}

/// The page of an upload that is not complete.
fn unfinished_page(request: &PartnerRequest, upload: &Upload) -> String {
    let until = ledger::rfc3339(request.state.uploads.expires_at(upload));
    let (curl, windows) = (resume_command(request, upload), resume_command_on_windows(request, upload));
    let ways = page::Ways { until: &until, curl: &curl, windows: &windows };
    page::html(&page::UnfinishedPage {
        language: request.language,
        name: &upload.name,
        offset: unsigned(upload.offset),
        length: upload.length.map(unsigned),
        ways: (upload.state == State::Open && upload.resumable).then_some(ways),
        here: &request.here(),
    })
}

/// `Repr-Digest` of the file, in the answer to the request that completed it, if the sender asked with `Want-Repr-Digest` (RFC
/// 9530 section 4; the draft's section 10.1). Not in the answer to a `GET`, where it would have to describe the receipt.
fn give_wanted_digest(request: &PartnerRequest, upload: &Upload, headers: &mut HeaderMap) {
    if upload.state == State::Complete
        && want_digest::sha256(&request.headers)
        && let Some(digest) = upload.sha256.as_deref().and_then(want_digest::digest)
    {
        set(headers, "repr-digest", &digest);
    }
}

/// The answer to an append or, with `open` 201, to a creation.
pub(super) fn appended(
    request: &PartnerRequest,
    protocol: Protocol,
    open: StatusCode,
    upload: &Upload,
) -> Response {
    let is_complete = upload.state == State::Complete;
    let mut response = match protocol {
        Protocol::Tus => open.into_response(),
        Protocol::Plain | Protocol::Rufh if is_complete => receipt(request, StatusCode::CREATED, upload),
        Protocol::Plain | Protocol::Rufh => open.into_response(),
    };
    let headers = response.headers_mut();
    offset_headers(request, protocol, upload, headers);
    // An equal file that was sent before may stand in for this one.
    if open == StatusCode::CREATED || is_complete {
        set(headers, "location", &request.location(&upload.id));
    }
    give_wanted_digest(request, upload, headers);
    response
}

/// Where an upload stands.
fn offset_headers(request: &PartnerRequest, protocol: Protocol, upload: &Upload, headers: &mut HeaderMap) {
    let is_complete = upload.state == State::Complete;
    // While it is published, too: what is not durable yet may have to be sent again.
    headers.insert("upload-offset", upload.offset.into());
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    match protocol {
        Protocol::Tus if is_complete => {}
        Protocol::Tus => set(headers, "upload-expires", &http_date(request.state.uploads.expires_at(upload))),
        Protocol::Plain | Protocol::Rufh => {
            set(headers, "upload-complete", if is_complete { "?1" } else { "?0" });
            set(headers, "upload-limit", &limit(request, Some(upload)));
        }
    }
}

/// Where an upload stands, and its length.
pub(super) fn state_headers(
    request: &PartnerRequest,
    protocol: Protocol,
    upload: &Upload,
    headers: &mut HeaderMap,
) {
    offset_headers(request, protocol, upload, headers);
    match upload.length {
        Some(length) => drop(headers.insert("upload-length", length.into())),
        None if protocol == Protocol::Tus => set(headers, "upload-defer-length", "1"),
        None => {}
    }
}

/// `Upload-Limit`: the largest file, and how long an unfinished one is kept. A complete one stays.
pub(super) fn limit(request: &PartnerRequest, upload: Option<&Upload>) -> String {
    let max = request.max_bytes();
    let age = match upload {
        Some(upload) if upload.state == State::Complete => return format!("max-size={max}"),
        Some(upload) => (request.state.uploads.expires_at(upload) - ledger::now_ms()).max(0) / 1000,
        None => i64::try_from(request.state.limits.resume_window.as_secs()).unwrap_or(i64::MAX),
    };
    format!("max-size={max}, max-age={age}")
}

/// The command that resumes an upload from its durable offset.
pub(super) fn resume_command(request: &PartnerRequest, upload: &Upload) -> String {
    let (from, offset, user) = (upload.offset + 1, upload.offset, request.user_option());
    format!(
        "test -r FILE && tail -c +{from} FILE | curl --fail-with-body {user}-H 'Upload-Offset: {offset}' -T - \
         -o receipt.txt '{}'",
        request.location(&upload.id)
    )
}

/// [`resume_command`] where there is no `tail`. With `-C` curl would append the receipt to an existing file.
fn resume_command_on_windows(request: &PartnerRequest, upload: &Upload) -> String {
    let from = match upload.offset {
        // curl sends no range with a file from its start.
        0 => "-H \"Upload-Offset: 0\"".to_owned(),
        offset => format!("-C {offset}"),
    };
    let (user, location) = (request.user_option(), request.location(&upload.id));
    format!("curl.exe --fail-with-body {user}{from} -T FILE \"{location}\"")
}

/// A count out of the ledger, which is never negative.
pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

/// The receipt for a terminal.
fn text(upload: &Upload, location: &str) -> String {
    if upload.state != State::Complete {
        let of = upload.length.map(|length| format!(" of {length}")).unwrap_or_default();
        return format!("{}: {}{of} bytes so far\n", upload.name, upload.offset);
    }
    let size = size(upload).unwrap_or_default();
    // `curl -T DIRECTORY` sends nothing and reports no error.
    let empty = if size == 0 {
        "The file is empty. To send a directory: tar cz DIRECTORY | curl -T - …\n"
    } else {
        ""
    };
    let differs = differs(upload).map(|differs| format!("{differs}.\n")).unwrap_or_default();
    format!(
        "{}, {size} bytes\nSHA-256 {}\n{}\n{empty}{differs}Receipt {location}\n",
        upload.name,
        upload.sha256.as_deref().unwrap_or_default(),
        place(upload),
    )
}

/// Algorithm, announced and actual digest, if the file does not match its side file.
fn mismatch(upload: &Upload) -> Option<[&str; 3]> {
    let mut words = upload.mismatch.as_deref()?.split(' ');
    Some([words.next()?, words.next()?, words.next()?])
}

/// That the file does not match its side file.
fn differs(upload: &Upload) -> Option<String> {
    let [algorithm, announced, actual] = mismatch(upload)?;
    Some(format!(
        "The file is kept but does not match its side file: {algorithm} {announced} expected, {actual} received. Send both again"
    ))
}

/// Where the file goes.
fn place(upload: &Upload) -> String {
    let ticket = &upload.ticket;
    match upload.destination {
        Some(Destination::TicketAttachment) => format!("for ticket {ticket}, as an attachment"),
        Some(Destination::SupportUploader) => format!("for ticket {ticket}, in the Support Uploader"),
        Some(Destination::PartnerBucket) => format!("for ticket {ticket}, in your organisation's bucket"),
        None => format!("for ticket {ticket}"),
    }
}

/// Bytes of a complete upload.
pub(super) fn size(upload: &Upload) -> Option<u64> {
    upload.length.filter(|_| upload.state == State::Complete).and_then(|length| u64::try_from(length).ok())
}
