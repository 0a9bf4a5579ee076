//! Refusals: RFC 9457 problem details, or a page for a browser. A handler returns a [`Problem`]; `render.rs` writes it in the format
//! that the client wants.
//! Invariant: the type is stable, and the detail tells a person what to do next.

mod from_errors;
pub(crate) mod render;

use std::time::Duration;

use axum::http::header::{LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Map, Value};

const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    extra: Map<String, Value>,
    /// Where a browser can ask for a new link, relative to the page.
    renew_at: Option<String>,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            kind,
            title,
            detail: detail.into(),
            headers: Vec::new(),
            extra: Map::new(),
            renew_at: None,
        }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// Adds a member to the problem details.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(key.into(), value.into());
        self
    }

    /// Adds a sentence that only the request makes possible.
    pub(crate) fn with_advice(mut self, advice: &str) -> Self {
        self.detail = format!("{} {advice}", self.detail);
        self
    }

    /// Replaces the detail, for another reader.
    pub(crate) fn with_detail(mut self, detail: String) -> Self {
        self.detail = detail;
        self
    }

    /// Adds the durable offset and how to resume from it.
    pub(crate) fn with_resume_hint(mut self, offset: i64, location: &str, hint: &str) -> Self {
        self.headers.retain(|(name, _)| *name != UPLOAD_OFFSET);
        self.with_advice(hint)
            .with("offset", offset)
            .header(UPLOAD_OFFSET, &offset.to_string())
            .header(LOCATION, location)
    }

    /// Adds how to get a new link: for a program at the address, for a browser at the relative one.
    pub(crate) fn with_renewal(mut self, ticket: &str, user: &str, address: &str, relative: String) -> Self {
        self.renew_at = Some(relative);
        self.with("renew", address).with_detail(format!(
            "This upload link has expired. To get a new one as a comment on ticket {ticket}, send a `POST`, for example \
             with `curl -X POST {user}{address}`. What you sent before is safe."
        ))
    }

    pub(crate) fn is_digest_mismatch(&self) -> bool {
        self.kind == "/problems/digest-mismatch"
    }

    /// Its type.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The mistakes of [`bad_fields`].
    pub(crate) fn field_errors(&self) -> Vec<api::FieldError> {
        let errors = self.extra.get("errors").cloned().unwrap_or_default();
        serde_json::from_value(errors).unwrap_or_default()
    }

    pub(crate) fn to_api(&self) -> api::Problem {
        api::Problem {
            kind: self.kind.to_owned(),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            request_id: None,
            extra: self.extra.clone(),
        }
    }

    /// The body for programs.
    pub(crate) fn text(&self, id: Option<&str>) -> String {
        let problem = api::Problem { request_id: id.map(str::to_owned), ..self.to_api() };
        format!("{}\n", serde_json::to_string_pretty(&problem).unwrap_or_default())
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
    let what = if revoked { "was revoked" } else { "has expired" };
    Problem::new(
        StatusCode::GONE,
        "/problems/link-expired",
        "Upload link no longer valid",
        format!("This upload link {what}. Ask support for a new one. What you sent before is safe."),
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
        "No ticket with this number belongs to this link. Check the number: it is in every mail from support.",
    )
}

pub(crate) fn ticket_required() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "/problems/ticket-required",
        "Ticket number missing",
        "This link works for several tickets, so each file must name its own. Add `?ticket=123456` to the address.",
    )
}

pub(crate) fn ticket_closed(ticket: &str) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "/problems/ticket-closed",
        "Ticket closed",
        format!(
            "Ticket {ticket} is closed and accepts no more files. Open a follow-up ticket and ask for a link to it."
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

/// Fields of a request that are missing or wrong, each with what to enter.
pub(crate) fn bad_fields(errors: &[api::FieldError]) -> Problem {
    let mut detail = String::from("Correct these fields and send the request again.");
    for api::FieldError { field, detail: what } in errors {
        detail.push_str(&format!(" `{field}`: {what}"));
    }
    let errors = serde_json::to_value(errors).unwrap_or_default();
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "/problems/bad-fields", "Fields missing or wrong", detail)
        .with("errors", errors)
}

/// One field that is wrong.
pub(crate) fn bad_field(field: &str, detail: &str) -> Problem {
    bad_fields(&[api::FieldError { field: field.to_owned(), detail: detail.to_owned() }])
}

pub(crate) fn not_arranged(ask: &str) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "/problems/not-arranged",
        "Account not arranged",
        format!(
            "This person's account for support is not arranged yet, so no ticket was opened. Ask {ask} to arrange it, then try \
             again."
        ),
    )
    .with("ask", ask)
}

pub(crate) fn nfr_not_supported(page: Option<&str>) -> Problem {
    let read = page.map(|page| format!(" Read {page}.")).unwrap_or_default();
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "/problems/nfr-not-supported",
        "No support for this software",
        format!("Software that is not for resale (NFR) gets no support, so nothing was accepted.{read}"),
    )
}

pub(crate) fn conflict(detail: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "/problems/conflict", "Conflict", detail)
}

pub(crate) fn bad_signature(why: &str) -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "/problems/bad-signature",
        "Signature missing or not valid",
        format!("{why} Check the secret and the clock of the sender."),
    )
}

pub(crate) fn not_found() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "about:blank",
        "Not Found",
        "Nothing is at this address. Check it: an upload link looks like https://HOST/u/TOKEN.",
    )
}

/// Points out two slashes in a row, a common slip.
pub(crate) fn not_found_at(path: &str) -> Problem {
    if path.contains("//") {
        not_found().with_advice("This address has two slashes in a row.")
    } else {
        not_found()
    }
}

pub(crate) fn no_such_id(what: &str, id: &str) -> Problem {
    let detail = format!("No {what} has the id `{}`. List the {what}s to find it.", id.escape_debug());
    not_found().with_detail(detail)
}

/// The router adds `Allow`.
pub(crate) async fn method_not_allowed(method: Method) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "about:blank",
        "Method Not Allowed",
        format!("This address does not accept {method}. The `Allow` header lists the methods it accepts."),
    )
}

pub(crate) fn ambiguous_name(name: &str) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "/problems/ambiguous-name",
        "Several unfinished uploads have this name",
        format!(
            "Several unfinished uploads are called `{name}`. Resume one of them at its own address: `uploads` lists them."
        ),
    )
}

pub(crate) fn unsupported_media_type(wanted: &str) -> Problem {
    let why =
        format!("This protocol sends the bytes of an upload as `Content-Type: {wanted}`. Add that header.");
    // RFC 5789 section 2.2.
    encoded(&why).header(HeaderName::from_static("accept-patch"), wanted)
}

pub(crate) fn encoded(why: &str) -> Problem {
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
        "This Idempotency-Key was used for something else in the last 24 hours. Use a new key for a new file or ticket.",
    )
}

pub(crate) fn unavailable(what: &str, retry_after: Duration) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "/problems/unavailable",
        "Temporarily unavailable",
        format!("{what} Try again in {} s.", retry_after.as_secs().max(1)),
    )
    .header(RETRY_AFTER, &retry_after.as_secs().max(1).to_string())
}

/// When to try again while storage is down.
pub(crate) const RETRY_SOON: Duration = Duration::from_secs(10);

pub(crate) fn desk_down() -> Problem {
    unavailable("The help desk does not respond, so nothing from this request was kept.", RETRY_SOON)
}

pub(crate) fn desk_refused(ask: &str) -> Problem {
    let detail = format!("The help desk refused the request, so nothing was kept. Ask {ask}.");
    Problem::new(StatusCode::BAD_GATEWAY, "/problems/desk-refused", "Help desk refused", detail)
}

pub(crate) fn too_many_escalations(max: i64, retry_after: Duration) -> Problem {
    let detail =
        format!("{max} escalations of your organisation are open. Ask support to resolve some first.");
    slow_down("Too many open escalations", &detail, retry_after)
}

pub(crate) fn too_many_notes(max: i64, retry_after: Duration) -> Problem {
    let detail = format!("This link can write {max} notes a day. Comment on the ticket instead.");
    slow_down("Too many notes", &detail, retry_after)
}

pub(crate) fn storage_down() -> Problem {
    unavailable("Storage does not respond, so nothing from this request was kept.", RETRY_SOON)
}

fn internal() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "/problems/internal",
        "Internal Server Error",
        "Something went wrong on our side, and nothing from this request was kept. Try again. If it fails again, tell support.",
    )
}

pub(crate) fn too_large(max: u64) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "/problems/too-large",
        "File too large",
        format!("A file may have at most {max} bytes here. Compress or split it, or ask support for a higher limit."),
    )
    .with("max-size", max)
    .header(HeaderName::from_static("upload-limit"), &format!("max-size={max}"))
}

fn upload_gone() -> Problem {
    Problem::new(
        StatusCode::GONE,
        "/problems/upload-gone",
        "Upload gone",
        "This upload was cancelled, removed, or has expired. Send the file again.",
    )
}

/// When to try again if another upload has to end first.
const ROOM_SOON: Duration = Duration::from_secs(10);

fn slow_down(title: &'static str, detail: &str, retry_after: Duration) -> Problem {
    // Rounded up, so that a client which waits this long is served.
    let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
    let seconds = seconds.max(1);
    let detail = format!("{detail} Try again in {seconds} s.");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "/problems/slow-down", title, detail)
        .header(RETRY_AFTER, &seconds.to_string())
}

pub(crate) fn too_many_requests(per_minute: u32, retry_after: Duration) -> Problem {
    let detail = format!("This link allows {per_minute} requests per minute.");
    slow_down("Too many requests", &detail, retry_after)
}

pub(crate) fn too_many_tickets(per_minute: u32, retry_after: Duration) -> Problem {
    let detail = format!("This link can check {per_minute} ticket numbers per minute.");
    slow_down("Too many ticket numbers", &detail, retry_after)
}

fn too_many_open() -> Problem {
    let detail = "Too many uploads are open on this link. Wait until one of them ends.";
    slow_down("Too many open uploads", detail, ROOM_SOON)
}

fn too_much_unfinished(max: u64) -> Problem {
    let detail = format!(
        "Unfinished uploads on this link may hold {max} bytes in total, and this one would exceed that. Let one finish, or \
         cancel one with DELETE on its address."
    );
    slow_down("Too many unfinished bytes", &detail, ROOM_SOON).with("max-unfinished-size", max)
}
