//! `POST multipart/form-data`: any number of files, streamed one after the other, nothing collected.

mod answer;
mod multipart;
mod part;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use answer::{Outcome, answer};
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use multipart::{Data, Headers, Multipart};
use part::Kind;
use upload::{Append, BodyError, Create, Frame};

use super::Asking;
use super::idempotency::{self, Turn};
use super::ticket;
use crate::body::{self, Incoming};
use crate::config::Limits;
use crate::problem::{self, Problem};
use crate::{headers, name};

/// Longest text of a field that is kept.
const FIELD_BYTES_MAX: usize = 100;
/// Longest text of a field that is read; what is not kept is thrown away as it comes.
const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// So many refused files of a form are named in the answer: each costs its sender a few bytes, and us ten times that until
/// then. Further ones are counted.
const REFUSED_MAX: usize = 100;

/// Takes every file of a form. What was stored is kept and named, whatever comes after it.
pub(crate) async fn form(asking: Asking, body: &mut Option<Body>) -> Result<Response, Problem> {
    let boundary = headers::text(&asking.headers, CONTENT_TYPE.as_str())?
        .and_then(multipart::boundary)
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
        let limits = self.asking.app.limits.clone();
        let mut parts = Multipart::new(Frames { incoming: Some(incoming), limits }, boundary);
        let mut fields = 0;
        loop {
            let headers = match parts.next_part().await {
                Ok(Some(headers)) => headers,
                Ok(None) => return,
                Err(error) => return self.stop(broken(error)),
            };
            fields += 1;
            if fields > self.asking.app.limits.form_files {
                let max = self.asking.app.limits.form_files;
                let why = format!("A form has at most {max} fields. Send the rest in another one.");
                return self.stop(problem::bad_request(&why));
            }
            match self.part(&headers, parts.data()).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(problem) => return self.stop(problem),
            }
        }
    }

    /// One part. False, or an error not yet reported, ends the whole form.
    async fn part(&mut self, headers: &Headers, mut data: Data<'_, Frames>) -> Result<bool, Problem> {
        let (named, content_type) = match part::kind(headers) {
            Kind::Text { field } => {
                let text = text(&mut data).await?;
                if field == "ticket" {
                    self.ticket = Some(text);
                }
                return Ok(true);
            }
            Kind::Refused { named, problem } => {
                self.keep(&named, Err(problem));
                self.drain(&mut data).await?;
                return Ok(true);
            }
            Kind::File { named, content_type } => (named, content_type),
        };
        // A browser sends an empty name and no bytes for a file input that was left empty.
        if named.as_deref() == Some("") && self.drain(&mut data).await? == 0 {
            return Ok(true);
        }
        let named = named.unwrap_or_else(|| name::made_up(content_type.as_deref(), ledger::now_ms()));
        match self.file(&named, content_type.as_deref(), &mut data).await {
            Ok(result) => {
                self.keep(&named, result);
                self.drain(&mut data).await?;
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
        declared: Option<&str>,
        data: &mut Data<'_, Frames>,
    ) -> Result<Result<ledger::Upload, Problem>, Problem> {
        let asking = &self.asking;
        let begun = async {
            let name = name::check(named)?;
            let ticket = ticket::resolve(asking, self.ticket.as_deref()).await?;
            let content_type = name::content_type(declared, &name);
            let new = Create {
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
        let ids: Vec<_> = self.stored().chain([created.id.clone()]).collect();
        if let Some(key) = &self.key {
            idempotency::begun(asking, key, &ids, &created.id).await?;
        }
        let append = Append { max_bytes: asking.app.uploads.max_bytes(&asking.link), ..Append::default() };
        let frames = data.map(|bytes| bytes.map(Frame::from));
        match asking.app.uploads.append(&created.id, &append, frames).await {
            Ok(upload) => Ok(Ok(upload)),
            Err(
                error @ (upload::Error::Interrupted { .. }
                | upload::Error::TooSlow { .. }
                | upload::Error::Malformed(_)),
            ) => Err(Problem::from(error)
                .next(&format!("Send it again: curl --fail-with-body -F file=@FILE '{}'", asking.address))),
            Err(error) => {
                let ledger = &asking.app.ledger;
                Ok(Err(idempotency::why_ended(ledger, self.key.as_ref(), &ids, error).await.into()))
            }
        }
    }

    async fn drain(&self, data: &mut Data<'_, Frames>) -> Result<u64, Problem> {
        let mut bytes = 0;
        while let Some(piece) = data.next().await {
            bytes += piece.map_err(broken)?.len() as u64;
            // What was refused already is read on within bounds only; then the form ends.
            if bytes > self.asking.app.limits.discard_bytes {
                return Err(problem::bad_request(
                    "Too much came after a refused file. Send the others in a form of their own.",
                ));
            }
        }
        Ok(bytes)
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
            self.outcomes.push(Outcome { name: answer::shortened(named), result });
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

/// The text of a field, as far as it is kept.
async fn text(data: &mut Data<'_, Frames>) -> Result<String, Problem> {
    let (mut text, mut bytes) = (Vec::new(), 0);
    while let Some(piece) = data.next().await {
        let piece = piece.map_err(broken)?;
        bytes += piece.len();
        if bytes > TEXT_BYTES_MAX {
            return Err(problem::bad_request(
                "The text of a form field is too long. Send it as a file: `-F file=@NAME`.",
            ));
        }
        let room = FIELD_BYTES_MAX.saturating_sub(text.len());
        text.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

/// Why a form ended before its end.
fn broken(error: BodyError) -> Problem {
    let error = match error {
        BodyError::Interrupted => upload::Error::Interrupted { received: 0 },
        BodyError::TooSlow => upload::Error::TooSlow { received: 0 },
        BodyError::Malformed(why) => upload::Error::Malformed(why),
    };
    error.into()
}

/// The bytes of a form. One that is given up is read on for a while, so that its sender sees why.
struct Frames {
    /// None when they have ended.
    incoming: Option<Incoming>,
    limits: Limits,
}

impl Drop for Frames {
    fn drop(&mut self) {
        if let Some(unread) = self.incoming.take() {
            body::discard(unread.into_body(), &self.limits);
        }
    }
}

impl Stream for Frames {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = ready!(incoming.poll_next_unpin(cx));
        if frame.is_none() {
            self.incoming = None;
        }
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| match frame {
                Frame::Bytes(bytes) => bytes,
                // A digest of the form is of none of its files.
                Frame::Digests(_) => Bytes::new(),
            })
        }))
    }
}
