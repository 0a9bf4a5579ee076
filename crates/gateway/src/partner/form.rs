//! `POST multipart/form-data`: any number of files, streamed one after the other, nothing collected.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use multer::{Field, Multipart};
use upload::{Append, BodyError, Frame, New};

use super::Asking;
use super::idempotency::{self, Turn};
use super::{route, ticket};
use crate::body::{self, Incoming};
use crate::config::Limits;
use crate::headers::{self, Wanted};
use crate::json::Json;
use crate::problem::{self, Problem};
use crate::{name, receipt};

/// Bytes before a field: a boundary, and headers with a name. More is somebody's mistake, or an attack: the parser holds
/// them all, and looks through them anew with every frame.
const HEADERS_BYTES_MAX: u64 = 16 * 1024;
/// Longest text of a field that is kept.
const FIELD_BYTES_MAX: usize = 100;
/// Longest text of a field that is read; what is not kept is thrown away as it comes.
const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// What is kept of a name that somebody sent, to say it again: no file is called longer.
const NAMED_BYTES_MAX: usize = 255;
/// So many refused files of a form are named in the answer: each costs its sender a few bytes, and us ten times that until
/// then. Further ones are counted.
const REFUSED_MAX: usize = 100;

/// One file of a form.
struct Outcome {
    name: String,
    result: Result<ledger::Upload, Problem>,
}

/// What is kept of a text of any length.
fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(NAMED_BYTES_MAX)].to_owned()
}

/// Takes every file of a form. What was stored is kept and named, whatever comes after it.
pub(crate) async fn form(asking: Asking, body: &mut Option<Body>) -> Result<Response, Problem> {
    let boundary = headers::text(&asking.headers, CONTENT_TYPE.as_str())?
        .and_then(|text| multer::parse_boundary(text).ok())
        .ok_or_else(|| {
            problem::bad_request(
                "A POST here is a form: `multipart/form-data` with a boundary, as `curl -F file=@NAME` sends it. \
                 To send a file as it is, use PUT (`curl -T NAME`).",
            )
        })?;
    let named = asking.query("ticket");
    if (asking.link.ticket.is_some() || named.is_some())
        && !idempotency::is_done(&asking, "", named.as_deref().unwrap_or_default()).await?
    {
        ticket::resolve(&asking, None).await?;
    }
    let length = headers::content_length(&asking.headers);
    let key =
        match idempotency::claim(&asking, ("", named.as_deref().unwrap_or_default()), length, None).await? {
            Turn::Done(uploads) => {
                let outcomes: Vec<_> = uploads
                    .into_iter()
                    .map(|upload| Outcome { name: upload.name.clone(), result: Ok(upload) })
                    .collect();
                return answer(&asking, outcomes);
            }
            Turn::GoOn(key) => key,
        };
    if let Err(error) = asking.app.uploads.has_room(&asking.link).await {
        idempotency::settle(&asking.app.ledger, key.as_ref(), None).await;
        return Err(error.into());
    }
    let incoming = Incoming::new(body.take().unwrap_or_default(), false, &asking.app.limits);
    // The files go on when the client has sent everything and left.
    let uploads = asking.app.uploads.clone();
    let task = uploads.spawn(async move {
        let mut form = Form { asking, ticket: None, outcomes: Vec::new(), unnamed: 0, key };
        form.read(incoming, &boundary).await;
        form.sum_up();
        form.settle().await;
        (form.asking, form.outcomes)
    });
    let (asking, outcomes) =
        task.await.map_err(|error| Problem::from(upload::Error::Internal(format!("read form: {error}"))))?;
    answer(&asking, outcomes)
}

struct Form {
    asking: Asking,
    ticket: Option<String>,
    outcomes: Vec<Outcome>,
    /// Refused files that are not among these.
    unnamed: usize,
    key: Option<ledger::Key>,
}

impl Form {
    async fn read(&mut self, incoming: Incoming, boundary: &str) {
        let between = Arc::new(AtomicU64::new(0));
        let limits = self.asking.app.limits.clone();
        let frames = Some(incoming);
        let stream = Calm { frames, between: Arc::clone(&between), rest: false, limits };
        let mut parts = Multipart::new(stream, boundary);
        let mut fields = 0;
        loop {
            match parts.next_field().await {
                Ok(None) => return,
                Ok(Some(field)) => {
                    between.store(0, Ordering::Relaxed);
                    fields += 1;
                    if fields > self.asking.app.limits.form_files {
                        let max = self.asking.app.limits.form_files;
                        let why = format!("A form has at most {max} fields. Send the rest in another one.");
                        return self.stop(problem::bad_request(&why));
                    }
                    match self.field(field, &between).await {
                        Ok(true) => {}
                        Ok(false) => return,
                        Err(problem) => return self.stop(problem),
                    }
                }
                Err(error) => return self.stop(self.broken(&error)),
            }
        }
    }

    /// One field. False, or an error not yet reported, ends the whole form.
    async fn field(&mut self, mut field: Field<'_>, between: &AtomicU64) -> Result<bool, Problem> {
        let disposition = field.headers().get(CONTENT_DISPOSITION).map(|value| value.as_bytes().to_vec());
        let named = match disposition.as_deref().map(headers::disposition_filename).transpose() {
            Ok(named) => named.flatten(),
            Err(not_utf8) => {
                self.keep(&not_utf8.0.clone(), Err(not_utf8.into()));
                self.drain(&mut field, between).await?;
                return Ok(true);
            }
        };
        let Some(named) = named else {
            let text = self.text(&mut field, between).await?;
            if field.name() == Some("ticket") {
                self.ticket = Some(text);
            }
            return Ok(true);
        };
        // A browser sends an empty name and no bytes for a file input that was left empty.
        if named.is_empty() && self.drain(&mut field, between).await? == 0 {
            return Ok(true);
        }
        match self.file(&named, &mut field, between).await {
            Ok(result) => {
                self.keep(&named, result);
                self.drain(&mut field, between).await?;
                Ok(true)
            }
            Err(problem) => {
                self.keep(&named, Err(problem));
                Ok(false)
            }
        }
    }

    /// Stores one file. The inner result is about this file, the outer one ends the form.
    async fn file(
        &self,
        named: &str,
        field: &mut Field<'_>,
        between: &AtomicU64,
    ) -> Result<Result<ledger::Upload, Problem>, Problem> {
        let asking = &self.asking;
        let begun = async {
            let name = name::check(named)?;
            let ticket = ticket::resolve(asking, self.ticket.as_deref()).await?;
            let declared = field.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let content_type = name::content_type(declared, &name);
            let new = New {
                link: &asking.link,
                ticket: &ticket,
                name: &name,
                content_type: &content_type,
                length: None,
                // A form cannot go on: its sender sends all of it again.
                resumable: false,
                begins_with_body: true,
                digests: &[],
                tus_metadata: None,
            };
            Ok::<_, Problem>(asking.app.uploads.create(&new).await?)
        };
        let created = match begun.await {
            Ok(created) => created,
            Err(problem) => return Ok(Err(problem)),
        };
        if let Some(key) = &self.key {
            let ids: Vec<_> = self.stored().chain([created.id.clone()]).collect();
            if !asking.app.ledger.note_key(key, &ids, false).await.unwrap_or(true) {
                asking.app.uploads.cancel(&created.id).await?;
            }
        }
        let append = Append { max_bytes: asking.app.uploads.max_bytes(&asking.link), ..Append::default() };
        let stream = field.map(|chunk| {
            between.store(0, Ordering::Relaxed);
            chunk.map_err(|error| body_error(&error))
        });
        match asking.app.uploads.append(&created.id, &append, Box::pin(stream)).await {
            Ok(upload) => Ok(Ok(upload)),
            Err(
                error @ (upload::Error::Interrupted { .. }
                | upload::Error::TooSlow { .. }
                | upload::Error::Malformed(_)),
            ) => Err(Problem::from(error)
                .next(&format!("Send it again: curl --fail-with-body -F file=@FILE '{}'", asking.address))),
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn text(&self, field: &mut Field<'_>, between: &AtomicU64) -> Result<String, Problem> {
        let (mut text, mut bytes) = (Vec::new(), 0);
        while let Some(chunk) = field.chunk().await.map_err(|error| self.broken(&error))? {
            between.store(0, Ordering::Relaxed);
            bytes += chunk.len();
            if bytes > TEXT_BYTES_MAX {
                return Err(problem::bad_request(
                    "The text of a form field is too long. Send it as a file: `-F file=@NAME`.",
                ));
            }
            let room = FIELD_BYTES_MAX.saturating_sub(text.len());
            text.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Ok(String::from_utf8_lossy(&text).trim().to_owned())
    }

    async fn drain(&self, field: &mut Field<'_>, between: &AtomicU64) -> Result<u64, Problem> {
        let mut bytes = 0;
        while let Some(chunk) = field.chunk().await.map_err(|error| self.broken(&error))? {
            between.store(0, Ordering::Relaxed);
            bytes += chunk.len() as u64;
            // What was refused already is read on within bounds only; then the form ends.
            if bytes > self.asking.app.limits.discard_bytes {
                return Err(problem::bad_request(
                    "Too much came after a refused file. Send the others in a form of their own.",
                ));
            }
        }
        Ok(bytes)
    }

    fn broken(&self, error: &multer::Error) -> Problem {
        let error = match body_error(error) {
            BodyError::Interrupted => upload::Error::Interrupted { received: 0 },
            BodyError::TooSlow => upload::Error::TooSlow { received: 0 },
            BodyError::Malformed(why) => upload::Error::Malformed(why),
        };
        error.into()
    }

    /// What comes after this was not read.
    fn stop(&mut self, problem: Problem) {
        self.outcomes.push(Outcome { name: String::new(), result: Err(problem) });
    }

    /// Keeps what became of a file, for the answer.
    fn keep(&mut self, named: &str, result: Result<ledger::Upload, Problem>) {
        let refused = || self.outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
        if result.is_err() && refused() >= REFUSED_MAX {
            self.unnamed += 1;
        } else {
            self.outcomes.push(Outcome { name: shortened(named), result });
        }
    }

    /// The last outcome is of those that are not named.
    fn sum_up(&mut self) {
        if self.unnamed > 0 {
            let more = format!(
                "{} more files of this form were refused, and are not named here. What is not named as stored: mend what \
                 it was refused for, and send it in another form.",
                self.unnamed
            );
            self.outcomes.push(Outcome { name: String::new(), result: Err(problem::bad_request(&more)) });
        }
    }

    fn stored(&self) -> impl Iterator<Item = String> {
        self.outcomes
            .iter()
            .filter_map(|outcome| outcome.result.as_ref().ok())
            .map(|upload| upload.id.clone())
    }

    async fn settle(&self) {
        let all = !self.outcomes.is_empty() && self.outcomes.iter().all(|outcome| outcome.result.is_ok());
        let ids: Vec<_> = self.stored().collect();
        idempotency::settle(&self.asking.app.ledger, self.key.as_ref(), all.then_some(ids.as_slice())).await;
    }
}

/// A file alone is answered as if it had been `PUT`; several are listed.
fn answer(asking: &Asking, mut outcomes: Vec<Outcome>) -> Result<Response, Problem> {
    // Why what followed a refused file was not read is of no file.
    if let [Outcome { result: Err(_), .. }, Outcome { name, result: Err(_) }] = outcomes.as_slice()
        && name.is_empty()
    {
        outcomes.pop();
    }
    if outcomes.len() <= 1 {
        return match outcomes.pop().map(|outcome| outcome.result) {
            Some(Ok(upload)) => Ok(asking.receipt(StatusCode::CREATED, &upload)),
            Some(Err(problem)) => Err(problem),
            None => Err(problem::bad_request("The form holds no file. Choose one, or send `-F file=@NAME`.")),
        };
    }
    let status = outcomes
        .iter()
        .find_map(|outcome| outcome.result.as_ref().err())
        .map_or(StatusCode::CREATED, |problem| problem.status);
    if asking.wanted == Wanted::Html {
        return Ok((status, Html(page(asking, &outcomes))).into_response());
    }
    let uploads: Vec<_> = outcomes
        .iter()
        .map(|outcome| match &outcome.result {
            Ok(upload) => receipt::json(upload),
            Err(problem) => {
                let mut problem = problem.to_json();
                problem["name"] = outcome.name.as_str().into();
                problem
            }
        })
        .collect();
    Ok((status, Json(serde_json::json!({ "uploads": uploads }))).into_response())
}

fn page(asking: &Asking, outcomes: &[Outcome]) -> String {
    let here = route::here(asking.uri.path());
    let texts: Vec<_> = outcomes
        .iter()
        .map(|outcome| match &outcome.result {
            Ok(upload) => (receipt::sentence(upload), format!("{here}uploads/{}", upload.id)),
            Err(problem) => (problem.detail().to_owned(), String::new()),
        })
        .collect();
    let shown: Vec<_> = outcomes
        .iter()
        .zip(&texts)
        .map(|(outcome, (text, location))| match &outcome.result {
            Ok(upload) => page::Outcome::Stored {
                name: &upload.name,
                size: receipt::size(upload).and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
                sha256: upload.sha256.as_deref().unwrap_or_default(),
                place: text,
                location,
            },
            Err(_) => page::Outcome::Refused { name: &outcome.name, detail: text },
        })
        .collect();
    page::outcomes(&here, &shown)
}

fn body_error(error: &multer::Error) -> BodyError {
    if let multer::Error::StreamReadFailed(source) = error
        && let Some(Failed(error)) = source.downcast_ref()
    {
        return error.clone();
    }
    // It may hold the name of a field.
    BodyError::Malformed(format!("The form is damaged: {}. Send it again.", shortened(&error.to_string())))
}

#[derive(Debug)]
struct Failed(BodyError);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Failed {}

/// Gives the form parser one frame at a time, and a bounded number of bytes without progress: by itself it would read
/// as much as the socket has, and look for the end of a header for ever.
struct Calm {
    /// None when they have ended.
    frames: Option<Incoming>,
    between: Arc<AtomicU64>,
    rest: bool,
    limits: Limits,
}

/// A form that is given up is read on for a while, so that its sender sees why.
impl Drop for Calm {
    fn drop(&mut self) {
        if let Some(unread) = self.frames.take() {
            body::discard(unread.into_body(), &self.limits);
        }
    }
}

impl Stream for Calm {
    type Item = Result<Bytes, Failed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.rest) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(frames) = &mut self.frames else { return Poll::Ready(None) };
        let frame = ready!(frames.poll_next_unpin(cx));
        if frame.is_none() {
            self.frames = None;
        }
        self.rest = true;
        Poll::Ready(frame.map(|frame| {
            let bytes = match frame.map_err(Failed)? {
                Frame::Bytes(bytes) => bytes,
                // A digest of the form is of none of its files.
                Frame::Digests(_) => Bytes::new(),
            };
            let seen = self.between.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            // The frame that ends the count may be long and hold a file already: what came before it counts.
            if seen > HEADERS_BYTES_MAX {
                return Err(Failed(BodyError::Malformed("The headers of a form field are too long: a file name has at most 255 bytes. Send it again.".into())));
            }
            Ok(bytes)
        }))
    }
}
