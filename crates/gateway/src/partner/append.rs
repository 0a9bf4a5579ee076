//! Goes on with an upload, whatever dialect its sender speaks: the bytes, and the answer that the dialect wants.
//! Invariant: an answer names the durable offset of the ledger, never what we hope it is.

use axum::body::Body;
use axum::http::{HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use ledger::{State, Upload};
use upload::{Append, End};

use super::{Asking, draft, ticket, tus};
use crate::body::{self, Incoming};
use crate::headers;
use crate::problem::{self, Problem};

/// What a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `Content-Range` or `Upload-Offset`, with plain curl.
    Plain,
    /// tus 1.0.
    Tus,
    /// draft-ietf-httpbis-resumable-upload.
    Draft,
}

impl Dialect {
    /// By a header that each of the two requires, or by the draft's media type.
    pub(crate) fn of(asking: &Asking) -> Result<Self, Problem> {
        Ok(if asking.headers.contains_key("tus-resumable") {
            Self::Tus
        } else if headers::upload::complete(&asking.headers)?.is_some()
            || asking.headers.contains_key(draft::INTEROP)
            || draft::brings_a_part(asking)?
        {
            Self::Draft
        } else {
            Self::Plain
        })
    }

    /// What a request says of the bytes it brings.
    fn append(self, asking: &Asking) -> Result<Append, Problem> {
        match self {
            Self::Tus => tus::append(asking),
            Self::Draft => draft::append(asking),
            Self::Plain => plain(asking),
        }
    }
}

/// `PATCH /uploads/{id}` and `PUT /uploads/{id}`.
pub(crate) async fn append(asking: Asking, id: &str, body: &mut Option<Body>) -> Result<Response, Problem> {
    let upload = asking.app.uploads.status(&asking.link.id, id).await?;
    let dialect = Dialect::of(&asking)?;
    let append = dialect.append(&asking).map_err(|problem| expiring(&asking, dialect, &upload, problem))?;
    if upload.state != State::Open {
        return ended(&asking, dialect, &upload, &append);
    }
    let fits = fits(&asking, &upload, &append).await;
    fits.map_err(|problem| expiring(&asking, dialect, &upload, problem))?;
    go_on(asking, dialect, upload, append, body).await
}

/// The refusal, with the time that tus wants in every answer to a `PATCH` of an upload that is going to expire.
fn expiring(asking: &Asking, dialect: Dialect, upload: &Upload, problem: Problem) -> Problem {
    if dialect != Dialect::Tus || upload.state != State::Open {
        return problem;
    }
    let expires = http_date(asking.app.uploads.expires_at(upload));
    problem.header(HeaderName::from_static("upload-expires"), &expires)
}

/// The same by name, for `PUT`.
pub(crate) async fn append_named(
    asking: Asking,
    name: &str,
    body: &mut Option<Body>,
) -> Result<Response, Problem> {
    let dialect = Dialect::of(&asking)?;
    let append = dialect.append(&asking)?;
    let upload = named(&asking, name, append.length).await?;
    if upload.state != State::Open {
        return ended(&asking, dialect, &upload, &append);
    }
    fits(&asking, &upload, &append).await?;
    go_on(asking, dialect, upload, append, body).await
}

/// Refuses lengths that cannot be true before a byte is read. Nothing of the upload changes, but where its dialect has it end
/// when its length is exceeded.
async fn fits(asking: &Asking, upload: &Upload, append: &Append) -> Result<(), Problem> {
    let Err(error) = compare(upload, append) else { return Ok(()) };
    let end = append.offset.saturating_add(append.body_bytes.unwrap_or_default());
    let exceeds = upload.length.is_some_and(|length| end > unsigned(length));
    if append.invalidates && exceeds && unsigned(upload.offset) == append.offset {
        asking.app.uploads.cancel(&upload.id, &asking.actor(), error.reason()).await?;
    }
    Err(error.into())
}

/// What an append says of its bytes, beside what is known of the upload. A wrong offset is the engine's to refuse.
fn compare(upload: &Upload, append: &Append) -> upload::Result<()> {
    if unsigned(upload.offset) != append.offset {
        return Ok(());
    }
    let known = upload.length.map(unsigned);
    if let (Some(declared), Some(actual)) = (known, append.length)
        && declared != actual
    {
        return Err(upload::Error::LengthMismatch { declared, actual });
    }
    let Some(declared) = append.length.or(known) else { return Ok(()) };
    if declared > append.max_bytes {
        return Err(upload::Error::TooLarge { max: append.max_bytes });
    }
    let actual = append.offset.saturating_add(append.body_bytes.unwrap_or_default());
    let ends_elsewhere = append.end == End::Body && append.body_bytes.is_some() && actual != declared;
    if actual > declared || ends_elsewhere {
        return Err(upload::Error::LengthMismatch { declared, actual });
    }
    Ok(())
}

/// The unfinished uploads of that name on the link that may be meant: of that length, and for the ticket that is named.
pub(crate) async fn candidates(
    asking: &Asking,
    name: &str,
    length: Option<u64>,
) -> Result<Vec<Upload>, Problem> {
    let known = |upload: &Upload| upload.length.and_then(|length| u64::try_from(length).ok());
    let ticket = ticket::meant(asking)?;
    let mut unfinished = asking.app.uploads.unfinished(&asking.link.id, name).await?;
    unfinished.retain(|upload| {
        let fits = length.is_none() || known(upload).is_none_or(|known| Some(known) == length);
        fits && ticket.as_ref().is_none_or(|ticket| *ticket == upload.ticket)
    });
    Ok(unfinished)
}

/// The one upload of that name on the link: unfinished and of that length if there is one, else the newest that is
/// complete.
pub(crate) async fn named(asking: &Asking, name: &str, length: Option<u64>) -> Result<Upload, Problem> {
    let mut unfinished = candidates(asking, name, length).await?;
    match unfinished.len() {
        0 => {}
        1 => return Ok(unfinished.remove(0)),
        _ => return Err(ambiguous(asking, name, &unfinished)),
    }
    let filter = ledger::Filter {
        link_id: Some(asking.link.id.clone()),
        name: Some(name.to_owned()),
        ticket: ticket::meant(asking)?,
        state: Some(State::Complete),
        limit: 1,
        ..ledger::Filter::default()
    };
    let complete = asking.app.ledger.uploads(&filter).await?.pop();
    complete.ok_or_else(|| upload::Error::NotFound.into())
}

/// Which of these is meant, nobody knows.
pub(crate) fn ambiguous(asking: &Asking, name: &str, candidates: &[Upload]) -> Problem {
    let each: Vec<_> = candidates
        .iter()
        .map(|upload| {
            serde_json::json!({
                "id": upload.id,
                "length": upload.length,
                "offset": upload.offset,
                "started_at": ledger::rfc3339(upload.created_at),
                "location": asking.location(&upload.id),
            })
        })
        .collect();
    problem::ambiguous_name(name).with("uploads", each)
}

/// What plain curl says of the bytes it brings: `Content-Range: bytes A-B/T`, or `Upload-Offset: A` and all the rest.
fn plain(asking: &Asking) -> Result<Append, Problem> {
    // A client of tus or of the draft whose header was lost on the way must not end its file by mistake.
    if asking.method == Method::PATCH {
        return Err(problem::bad_request(
            "A PATCH says which protocol it speaks: send `Tus-Resumable: 1.0.0` (tus) or `Upload-Complete: ?0` or `?1` \
             (IETF resumable uploads). Without one, use PUT.",
        ));
    }
    let body_bytes = headers::content_length(&asking.headers);
    let max_bytes = asking.app.uploads.max_bytes(&asking.link);
    let (digests, content) =
        (headers::upload::file_digests(&asking.headers)?, headers::upload::content_digests(&asking.headers)?);
    if let Some(range) = headers::content_range(&asking.headers)? {
        let ranged = range.last - range.first + 1;
        if let Some(actual) = body_bytes.filter(|bytes| *bytes != ranged) {
            return Err(upload::Error::LengthMismatch { declared: ranged, actual }.into());
        }
        let end = if range.total == Some(range.last + 1) { End::Length } else { End::Later };
        let body_bytes = Some(ranged);
        return Ok(Append {
            offset: range.first,
            length: range.total,
            body_bytes,
            end,
            max_bytes,
            digests,
            content,
            ..Append::default()
        });
    }
    let length = headers::upload::length(&asking.headers)?;
    match headers::upload::offset(&asking.headers)? {
        Some(offset) => {
            Ok(Append { offset, length, body_bytes, max_bytes, digests, content, ..Append::default() })
        }
        None => Err(problem::bad_request(
            "Say where the bytes begin: `Upload-Offset: N` with all the rest of the file, or \
             `Content-Range: bytes FIRST-LAST/TOTAL`. HEAD on this address tells the offset.",
        )),
    }
}

/// Appends in a task of its own, which goes on when the client has sent everything and left, and answers.
pub(crate) async fn go_on(
    asking: Asking,
    dialect: Dialect,
    upload: Upload,
    append: Append,
    body: &mut Option<Body>,
) -> Result<Response, Problem> {
    let whole = append.offset == 0 && append.end == End::Body;
    let mut incoming = Incoming::new(body.take().unwrap_or_default(), whole, &asking.app.limits);
    let (uploads, id) = (asking.app.uploads.clone(), upload.id.clone());
    let task = asking.app.uploads.spawn({
        let append = append.clone();
        async move { (uploads.append(&id, &append, &mut incoming).await, incoming) }
    });
    let (result, incoming) =
        task.await.map_err(|error| Problem::from(upload::Error::Internal(format!("append: {error}"))))?;
    match result {
        Ok(now) => Ok(answer(&asking, dialect, StatusCode::NO_CONTENT, &now)),
        Err(error) => {
            body::discard(incoming.into_body(), &asking.app.limits);
            // An older request, of which this one is a second try, has ended it in the meantime.
            if matches!(error, upload::Error::Gone)
                && let Ok(now) = asking.app.uploads.status(&asking.link.id, &upload.id).await
                && now.state != State::Open
            {
                return ended(&asking, dialect, &now, &append);
            }
            Err(refusal(&asking, dialect, &upload.id, append.offset, error).await)
        }
    }
}

/// What an error of the engine is in this dialect: with the durable offset and how to go on, where one may.
pub(crate) async fn refusal(
    asking: &Asking,
    dialect: Dialect,
    id: &str,
    offset: u64,
    error: upload::Error,
) -> Problem {
    let came = matches!(error, upload::Error::Interrupted { .. } | upload::Error::TooSlow { .. });
    // The same bytes again would be as many too many.
    let exceeds = match &error {
        upload::Error::TooLarge { .. } => true,
        upload::Error::LengthMismatch { declared, actual } => actual > declared,
        _ => false,
    };
    let mut problem = match &error {
        upload::Error::OffsetMismatch { expected } if dialect == Dialect::Draft => {
            draft::mismatch(unsigned(*expected), offset)
        }
        _ => Problem::from(error),
    };
    if dialect == Dialect::Tus {
        problem = tus::in_tus(problem);
    }
    match asking.app.uploads.status(&asking.link.id, id).await {
        Ok(now) if now.state == State::Open && now.resumable => {
            let advice = if exceeds {
                "What came before is kept: to begin again, give it up first (DELETE on its address)."
                    .to_owned()
            } else {
                asking.go_on(&now)
            };
            let problem = problem.going_on(now.offset, &asking.location(id), &advice);
            expiring(asking, dialect, &now, problem)
        }
        _ if came => problem.next("Nothing was kept: send it again."),
        _ => problem,
    }
}

fn unsigned(expected: i64) -> u64 {
    u64::try_from(expected).unwrap_or_default()
}

/// The answer to an append, or to a creation (201), that went well.
pub(crate) fn answer(asking: &Asking, dialect: Dialect, open: StatusCode, upload: &Upload) -> Response {
    let is_complete = upload.state == State::Complete;
    let mut response = match dialect {
        Dialect::Tus => StatusCode::NO_CONTENT.into_response(),
        _ if is_complete => asking.receipt(StatusCode::CREATED, upload),
        Dialect::Plain | Dialect::Draft => open.into_response(),
    };
    if dialect == Dialect::Tus && open == StatusCode::CREATED {
        *response.status_mut() = open;
    }
    offset_headers(asking, dialect, upload, &mut response);
    // The same file sent before may have taken this one's place.
    if open == StatusCode::CREATED || is_complete {
        set(&mut response, "location", &asking.location(&upload.id));
    }
    asking.give_wanted_digest(upload, &mut response);
    response
}

/// Where an upload stands, as each dialect says it.
pub(crate) fn offset_headers(asking: &Asking, dialect: Dialect, upload: &Upload, response: &mut Response) {
    let is_complete = upload.state == State::Complete;
    // Of one that is being published, too: what is not durable yet may have to be sent again.
    set(response, "upload-offset", &upload.offset.to_string());
    set(response, "cache-control", "no-store");
    match dialect {
        Dialect::Tus => {
            if !is_complete {
                set(response, "upload-expires", &http_date(asking.app.uploads.expires_at(upload)));
            }
        }
        Dialect::Plain | Dialect::Draft => {
            set(response, "upload-complete", if is_complete { "?1" } else { "?0" });
            set(response, "upload-limit", &draft::limits(asking, Some(upload)));
        }
    }
}

/// An append to an upload that has ended: the same answer again where nothing is missing.
fn ended(asking: &Asking, dialect: Dialect, upload: &Upload, append: &Append) -> Result<Response, Problem> {
    let length = upload.length.unwrap_or_default();
    let (declared, offset) = (unsigned(length), append.offset);
    let whole = offset == declared;
    match upload.state {
        State::Complete if whole && append.body_bytes != Some(0) && dialect != Dialect::Plain => {
            let actual = offset.saturating_add(append.body_bytes.unwrap_or(1));
            Err(upload::Error::LengthMismatch { declared, actual }.into())
        }
        State::Complete if whole || dialect == Dialect::Plain => {
            Ok(answer(asking, dialect, StatusCode::NO_CONTENT, upload))
        }
        State::Complete if dialect == Dialect::Draft => Err(draft::mismatch(declared, offset)),
        State::Complete => Err(upload::Error::OffsetMismatch { expected: length }.into()),
        _ => Err(problem::unavailable("This file is just being stored.", std::time::Duration::from_secs(2))),
    }
}

pub(crate) fn set(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(name, value);
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
pub(crate) fn http_date(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The upload for a client that asks where to go on. One that speaks a protocol for resuming has lost its older request,
/// if there is one: it ends, or it would move the offset on from what is told here (section 4.6 of the draft). Plain curl
/// may be watching, and ends nothing.
pub(crate) async fn where_to_go_on(asking: &Asking, upload: Upload) -> Result<Upload, Problem> {
    if upload.state != State::Open || Dialect::of(asking)? == Dialect::Plain {
        return Ok(upload);
    }
    asking.app.uploads.halt(&upload.id).await?;
    Ok(asking.app.uploads.status(&asking.link.id, &upload.id).await?)
}

/// `HEAD /uploads/{id}` and `HEAD /{name}`: what the ledger says, without a call to a bucket.
pub(crate) async fn head(asking: &Asking, upload: Upload) -> Result<Response, Problem> {
    let upload = &where_to_go_on(asking, upload).await?;
    let dialect = Dialect::of(asking)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    state_headers(asking, dialect, upload, &mut response);
    set(&mut response, "location", &asking.location(&upload.id));
    if dialect == Dialect::Tus {
        if let Some(metadata) = &upload.tus_metadata {
            set(&mut response, "upload-metadata", metadata);
        }
        *response.status_mut() = StatusCode::OK;
    }
    Ok(response)
}

/// The same with the length, for those who ask.
pub(crate) fn state_headers(asking: &Asking, dialect: Dialect, upload: &Upload, response: &mut Response) {
    offset_headers(asking, dialect, upload, response);
    match upload.length {
        Some(length) => set(response, "upload-length", &length.to_string()),
        None if dialect == Dialect::Tus => set(response, "upload-defer-length", "1"),
        None => {}
    }
}

impl Asking {
    /// What goes on with an upload from its durable offset, in words.
    pub(crate) fn go_on(&self, upload: &Upload) -> String {
        format!("Go on: {}", self.resumes(upload))
    }

    /// The command that goes on with an upload from its durable offset.
    pub(crate) fn resumes(&self, upload: &Upload) -> String {
        let (from, offset, user) = (upload.offset + 1, upload.offset, self.user_option());
        format!(
            "test -r FILE && tail -c +{from} FILE | curl --fail-with-body {user}-H 'Upload-Offset: {offset}' -T - \
             -o receipt.txt '{}'",
            self.location(&upload.id)
        )
    }

    /// The same where there is no `tail`. With `-C` curl would add the receipt to a file that is there.
    pub(crate) fn resumes_on_windows(&self, upload: &Upload) -> String {
        let from = match upload.offset {
            // curl says no range of what it sends from the beginning.
            0 => "-H \"Upload-Offset: 0\"".to_owned(),
            offset => format!("-C {offset}"),
        };
        let (user, location) = (self.user_option(), self.location(&upload.id));
        format!("curl.exe --fail-with-body {user}{from} -T FILE \"{location}\"")
    }
}
