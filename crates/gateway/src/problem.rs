//! Every refusal, as RFC 9457 problem details or as a page: a stable type, and a detail that tells a person what to do.
//! The only place that turns an error of the engine into a status.

mod digests;

use std::time::Duration;

use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use digests::{digest_mismatch, mismatch, unreadable_side_file};

use crate::headers::Wanted;
use crate::observe;

/// A restart, or another gateway, takes about this long.
const DRAINING_RETRY_AFTER: Duration = Duration::from_secs(2);
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// A refusal.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    extra: Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { status, kind, title, detail: detail.into(), headers: Vec::new(), extra: Map::new() }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(key.into(), value.into());
        self
    }

    /// Adds what the sender should do next, where only the request knows it.
    pub(crate) fn next(mut self, advice: &str) -> Self {
        self.detail = format!("{} {advice}", self.detail);
        self
    }

    /// The same refusal in other words, for another reader.
    pub(crate) fn saying(mut self, detail: String) -> Self {
        self.detail = detail;
        self
    }

    /// Names the durable offset, and the command that goes on from there.
    pub(crate) fn going_on(mut self, offset: i64, location: &str, command: &str) -> Self {
        self.headers.retain(|(name, _)| *name != UPLOAD_OFFSET);
        self.next(command)
            .with("offset", offset)
            .header(UPLOAD_OFFSET, &offset.to_string())
            .header(LOCATION, location)
    }

    /// Whether bytes are not those announced.
    pub(crate) fn is_digest_mismatch(&self) -> bool {
        self.kind == "/problems/digest-mismatch"
    }

    /// What a person should do now.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The problem as it stands in a list of several.
    pub(crate) fn to_json(&self) -> Value {
        let mut body = self.extra.clone();
        body.insert("type".into(), self.kind.into());
        body.insert("title".into(), self.title.into());
        body.insert("status".into(), self.status.as_u16().into());
        body.insert("detail".into(), self.detail.as_str().into());
        Value::Object(body)
    }

    /// The answer: a page where the client asks for HTML, else problem details.
    pub(crate) fn answer(self, wanted: Wanted) -> Response {
        metrics::counter!("weighbridge_problems_total", "type" => self.kind).increment(1);
        let request_id = observe::request_id();
        let mut response = if wanted == Wanted::Html {
            let page = page::problem(self.status.as_u16(), self.title, &self.detail, request_id.as_deref());
            (self.status, [(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
        } else {
            let mut body = self.to_json();
            if let Some(id) = request_id {
                body["request_id"] = id.into();
            }
            let body = format!("{body:#}\n");
            (self.status, [(CONTENT_TYPE, "application/problem+json")], body).into_response()
        };
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

pub(crate) fn unknown_link() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "/problems/unknown-link",
        "Unknown upload link",
        "This upload link does not exist. Check that you copied all of it, or ask support for a new one.",
    )
}

pub(crate) fn unauthorized(realm_hint: &str) -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "/problems/unauthorized",
        "Token missing or wrong",
        format!("The token is missing or not valid. {realm_hint}"),
    )
    .header(WWW_AUTHENTICATE, "Basic realm=\"weighbridge\", charset=\"UTF-8\"")
    .header(WWW_AUTHENTICATE, "Bearer realm=\"weighbridge\"")
}

pub(crate) fn link_expired(revoked: bool) -> Problem {
    let what = if revoked { "was withdrawn" } else { "has expired" };
    Problem::new(
        StatusCode::GONE,
        "/problems/link-expired",
        "Upload link no longer valid",
        format!("This upload link {what}. Ask support for a new one; what you sent before is safe."),
    )
}

pub(crate) fn not_allowed(what: &str) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "/problems/not-allowed",
        "Not allowed",
        format!("This token does not allow you to {what}. Ask support for one that does."),
    )
}

pub(crate) fn unknown_ticket() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "/problems/unknown-ticket",
        "Unknown ticket",
        "There is no such ticket for this link. Check the number; it stands in every mail from support.",
    )
}

pub(crate) fn ticket_required() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "/problems/ticket-required",
        "Ticket number missing",
        "This link is not bound to a ticket. Name it: add `?ticket=123456` to the address.",
    )
}

pub(crate) fn ticket_closed(ticket: &str) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "/problems/ticket-closed",
        "Ticket closed",
        format!(
            "Ticket {ticket} is closed and takes no more files. Open a follow-up ticket and ask for a link to it."
        ),
    )
}

pub(crate) fn bad_name(why: &str) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "/problems/bad-name",
        "File name not usable",
        format!("The file name {why}. Send the file under another name."),
    )
}

pub(crate) fn bad_request(why: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "/problems/bad-request", "Bad request", why)
}

pub(crate) fn not_found() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "about:blank",
        "Not Found",
        "There is nothing here. Check the address; an upload link looks like https://HOST/u/TOKEN.",
    )
}

/// The same, with what is usually wrong where an address has two slashes in a row.
pub(crate) fn not_found_at(path: &str) -> Problem {
    if path.contains("//") { not_found().next("This one has two slashes in a row.") } else { not_found() }
}

pub(crate) fn no_such_thing() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "about:blank",
        "Not Found",
        "There is nothing of that id. List what there is.",
    )
}

pub(crate) fn method_not_allowed(allow: &str) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "about:blank",
        "Method Not Allowed",
        format!("This address takes {allow} only."),
    )
    .header(ALLOW, allow)
}

pub(crate) fn ambiguous_name(name: &str) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "/problems/ambiguous-name",
        "Several unfinished uploads of that name",
        format!(
            "Several unfinished uploads are called `{name}`. Go on with one of them by its own address, under `uploads`."
        ),
    )
}

pub(crate) fn unsupported_media_type(wanted: &str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "/problems/unsupported-media-type",
        "Unsupported media type",
        format!("Bytes of an upload are sent as `Content-Type: {wanted}` in this protocol."),
    )
    // RFC 5789 section 2.2.
    .header(HeaderName::from_static("accept-patch"), wanted)
}

/// Of bytes that are not those of the file.
pub(crate) fn coded(why: &str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "/problems/unsupported-media-type",
        "Unsupported media type",
        why,
    )
}

pub(crate) fn unsupported_tus(version: &str) -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "/problems/unsupported-version",
        "Unsupported version of tus",
        format!("This server speaks tus {version}. Send `Tus-Resumable: {version}`."),
    )
    .header(HeaderName::from_static("tus-version"), version)
}

pub(crate) fn idempotency_mismatch() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "/problems/idempotency-mismatch",
        "Idempotency-Key used for something else",
        "This Idempotency-Key was used for another file in the last 24 hours. Use a new key for a new file.",
    )
}

pub(crate) fn unavailable(what: &str, retry_after: Duration) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "/problems/unavailable",
        "Not available just now",
        format!("{what} Try again in {} s.", retry_after.as_secs().max(1)),
    )
    .header(RETRY_AFTER, &retry_after.as_secs().max(1).to_string())
}

/// What storage that is down asks of a sender.
pub(crate) const RETRY_SOON: Duration = Duration::from_secs(10);

pub(crate) fn storage_down() -> Problem {
    unavailable("Storage does not answer; nothing of this request was kept.", RETRY_SOON)
}

fn internal() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "/problems/internal",
        "Internal Server Error",
        "Something is wrong on our side, and nothing of this request was kept. Try again, and tell support if it stays.",
    )
}

pub(crate) fn too_large(max: u64) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "/problems/too-large",
        "File too large",
        format!("A file sent here may have at most {max} bytes. Compress or split it, or ask support for a larger limit."),
    )
    .with("max-size", max)
    .header(HeaderName::from_static("upload-limit"), &format!("max-size={max}"))
}

fn upload_gone() -> Problem {
    Problem::new(
        StatusCode::GONE,
        "/problems/upload-gone",
        "Upload no longer there",
        "This upload was cancelled, removed, or has expired. Send the file again.",
    )
}

/// Nobody knows when another upload ends: this is how soon it is worth asking again.
const ROOM_SOON: Duration = Duration::from_secs(10);

fn slow_down(title: &'static str, detail: &str, retry_after: Duration) -> Problem {
    // Rounded up: whoever comes back then is served.
    let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
    let seconds = seconds.max(1);
    let detail = format!("{detail} Try again in {seconds} s.");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "/problems/slow-down", title, detail)
        .header(RETRY_AFTER, &seconds.to_string())
}

pub(crate) fn too_many_requests(per_minute: u32, retry_after: Duration) -> Problem {
    let detail = format!("This link takes {per_minute} requests a minute, and more have come.");
    slow_down("Too many requests", &detail, retry_after)
}

pub(crate) fn too_many_tickets(per_minute: u32, retry_after: Duration) -> Problem {
    let detail = format!(
        "Through this link {per_minute} ticket numbers a minute can be checked, and more were named."
    );
    slow_down("Too many ticket numbers", &detail, retry_after)
}

fn too_many_open() -> Problem {
    let detail = "Too many uploads are open on this link. Wait until one has ended, then go on.";
    slow_down("Too many uploads at a time", detail, ROOM_SOON)
}

fn too_much_unfinished(max: u64) -> Problem {
    let detail = format!(
        "Uploads on this link that have not ended may hold {max} bytes together, and this would be more. Let them end, \
         or cancel one (DELETE on its address)."
    );
    slow_down("Too much is unfinished", &detail, ROOM_SOON).with("max-unfinished-size", max)
}

/// Maps what the engine says; what an operator must know is logged here, once.
impl From<upload::Error> for Problem {
    fn from(error: upload::Error) -> Self {
        use upload::Error as E;
        match error {
            E::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "about:blank",
                "Not Found",
                "There is no such upload on this link.",
            ),
            E::Gone => upload_gone(),
            E::OffsetMismatch { expected } => Self::new(
                StatusCode::CONFLICT,
                "https://iana.org/assignments/http-problem-types#mismatching-upload-offset",
                "Wrong offset",
                format!("The upload is at offset {expected}. Go on from there."),
            )
            .header(UPLOAD_OFFSET, &expected.to_string()),
            E::TooLarge { max } => too_large(max),
            E::LengthMismatch { declared, actual } => Self::new(
                StatusCode::BAD_REQUEST,
                "https://iana.org/assignments/http-problem-types#inconsistent-upload-length",
                "Lengths contradict each other",
                format!(
                    "The lengths differ: {declared} bytes were announced, {actual} came. Send the file again."
                ),
            ),
            E::DigestMismatch { algorithm, announced, actual, side_file } => {
                digest_mismatch(&mismatch(algorithm, side_file), algorithm, announced, actual)
            }
            E::UnreadableSideFile { algorithm, target } => unreadable_side_file(algorithm, &target),
            E::ContentMismatch { algorithm, announced, actual } => {
                let name = algorithm.name();
                let detail =
                    format!("The bytes of this request do not have the {name} announced. None was kept.");
                digest_mismatch(&detail, algorithm, announced, actual)
            }
            E::Draining => {
                unavailable("The gateway is being restarted; what came is kept.", DRAINING_RETRY_AFTER)
            }
            E::Interrupted { received } => Self::new(
                StatusCode::BAD_REQUEST,
                "/problems/interrupted",
                "Interrupted",
                format!("The body ended after {received} bytes, before its end."),
            ),
            E::TooSlow { received } => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "/problems/too-slow",
                "Too slow",
                format!("The body came slower than the minimum rate ({received} bytes so far)."),
            ),
            E::Malformed(why) => bad_request(&why),
            E::Superseded => Self::new(
                StatusCode::CONFLICT,
                "/problems/superseded",
                "A newer request has taken over",
                "A newer request sends this file; this one has stopped.",
            ),
            E::Revoked => link_expired(true),
            E::TooManyOpen => too_many_open(),
            E::TooMuchUnfinished { max } => too_much_unfinished(max),
            E::Busy { retry_after } => unavailable("Too much is being sent at the moment.", retry_after),
            error @ (E::Unavailable(_) | E::Refused(_) | E::Damaged(_) | E::Internal(_)) => of_ours(error),
        }
    }
}

/// What is wrong on our side: an operator is told more than the sender.
fn of_ours(error: upload::Error) -> Problem {
    use upload::Error as E;
    match error {
        E::Unavailable(source) => {
            tracing::warn!(error = source, "storage is unavailable");
            storage_down()
        }
        E::Refused(source) => {
            tracing::error!(error = source, "storage refuses: an operator must act");
            storage_down()
        }
        E::Damaged(source) => {
            tracing::error!(error = source, "storage damages bytes: an operator must look");
            let what = "Storage did not get, or give back, the bytes as they were sent; nothing more of this request was kept.";
            unavailable(what, RETRY_SOON)
        }
        other => {
            tracing::error!(error = %other, "upload failed");
            internal()
        }
    }
}

impl From<ledger::Error> for Problem {
    fn from(error: ledger::Error) -> Self {
        match error {
            ledger::Error::NotFound => not_found(),
            ledger::Error::Conflict(text) => bad_request(&text),
            other => upload::Error::from(other).into(),
        }
    }
}

impl From<bucket::Error> for Problem {
    fn from(error: bucket::Error) -> Self {
        // Of a file that rests: trying again does not bring it back.
        if matches!(error, bucket::Error::NotFound(_) | bucket::Error::Changed) {
            return upload::Error::Internal(error.to_string()).into();
        }
        upload::Error::from(error).into()
    }
}

#[cfg(test)]
#[path = "problem_tests.rs"]
mod tests;
