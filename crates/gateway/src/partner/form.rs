//! `POST multipart/form-data`: any number of files, streamed one after the other. Nothing is collected.

mod multipart;
mod part;
mod response;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use multipart::{Data, Headers, Multipart};
use part::Kind;
use response::answer;
pub(super) use response::{FileAnswer, files, locations, sent};
use upload::{Append, BodyError, Create, Frame};

use super::how_to_send::check_creation;
use super::idempotency::{self, Turn};
use super::open_ticket::{self, OpenedFor};
use super::request::PartnerRequest;
use super::{ask, create, nfr, ticket};
use crate::fields::Fields;
use crate::http::request_body::RateLimitedBody;
use crate::problem::{self, Problem};
use crate::{file_name, headers};

/// Longest text of a field that is kept.
const FIELD_BYTES_MAX: usize = 100;
/// Longest text of a field that is read. What is not kept is dropped as it arrives.
const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// Most refused files that the answer names; more are counted. Each costs its sender a few bytes, and us ten times as many.
const REFUSED_MAX: usize = 100;

/// `POST` to a link: a form, or a file with `Upload-Complete`.
pub(crate) async fn post(request: PartnerRequest, body: Body) -> Result<Response, Problem> {
    if request.headers.contains_key("upload-complete") {
        check_creation(&request)?;
        return create::rufh(&request, body).await;
    }
    form(request, body).await
}

/// Stores every file of a form. What was stored is kept and named, whatever follows it.
async fn form(request: PartnerRequest, body: Body) -> Result<Response, Problem> {
    let boundary = boundary(&request)?;
    nfr::check_query(&request)?;
    let named = request.query("ticket");
    let ticket = named.as_deref().unwrap_or_default();
    if (request.link.ticket.is_some() || named.is_some())
        && !idempotency::is_done(&request, "", ticket).await?
    {
        ticket::resolve(&request, None).await?;
    }
    let length = headers::content_length(&request.headers);
    let key = match idempotency::claim(&request, ("", ticket), length, None).await? {
        Turn::Done(uploads) => {
            let outcome =
                |upload: ledger::Upload| FileAnswer { name: upload.name.clone(), result: Ok(upload) };
            return answer(&request, uploads.into_iter().map(outcome).collect());
        }
        Turn::New(key) => key,
    };
    if let Err(error) = request.state.uploads.has_room(&request.link).await {
        idempotency::settle(&request.state.ledger, key.as_ref(), None).await;
        return Err(error.into());
    }
    let body = RateLimitedBody::new(body, false, &request.state.limits);
    // In a task of its own, which continues if the client has sent everything and left.
    let uploads = request.state.uploads.clone();
    let task = uploads.spawn(async move {
        let mut form = Form::new(request, key, Purpose::Files);
        form.read(body, &boundary).await;
        form.sum_up();
        form.settle().await;
        (form.request, form.outcomes)
    });
    let (request, outcomes) = task.await.map_err(|error| died(&error))?;
    answer(&request, outcomes)
}

/// Opens the ticket that the fields of a form describe, and stores the files that follow them for it.
pub(super) async fn open_ticket(
    request: PartnerRequest,
    body: Body,
) -> Result<(PartnerRequest, OpenedFor, Vec<FileAnswer>), Problem> {
    let boundary = boundary(&request)?;
    let body = RateLimitedBody::new(body, false, &request.state.limits);
    let uploads = request.state.uploads.clone();
    let task = uploads.spawn(async move {
        let mut form = Form::new(request, None, Purpose::Ticket(Fields::default()));
        form.read(body, &boundary).await;
        form.sum_up();
        form
    });
    let form = task.await.map_err(|error| died(&error))?;
    match form.purpose {
        Purpose::Opened(opened) => Ok((form.request, *opened, form.outcomes)),
        Purpose::Refused(problem) => Err(*problem),
        Purpose::Files | Purpose::Ticket(_) | Purpose::Fields(_) => Err(first_problem(form.outcomes)),
    }
}

/// The fields of a form that has no files.
pub(super) async fn fields(request: PartnerRequest, body: Body) -> Result<(PartnerRequest, Fields), Problem> {
    let boundary = boundary(&request)?;
    let body = RateLimitedBody::new(body, false, &request.state.limits);
    let mut form = Form::new(request, None, Purpose::Fields(Fields::default()));
    form.read(body, &boundary).await;
    match form.purpose {
        Purpose::Fields(fields) if form.outcomes.is_empty() => Ok((form.request, fields)),
        _ => Err(first_problem(form.outcomes)),
    }
}

fn first_problem(outcomes: Vec<FileAnswer>) -> Problem {
    let problem = outcomes.into_iter().find_map(|outcome| outcome.result.err());
    problem.unwrap_or_else(|| problem::bad_request("The form has no fields. Send them before any file."))
}

fn boundary(request: &PartnerRequest) -> Result<String, Problem> {
    let content_type = headers::text(&request.headers, CONTENT_TYPE.as_str())?;
    content_type.and_then(multipart::boundary).ok_or_else(|| {
        problem::bad_request(
            "A POST here must be a form: `multipart/form-data` with a boundary, as `curl -F file=@NAME` sends it. \
             To send a file as it is, use PUT (`curl -T NAME`).",
        )
    })
}

fn died(error: &tokio::task::JoinError) -> upload::Error {
    upload::Error::Internal(format!("read form: {error}"))
}

/// What the fields of a form are for.
enum Purpose {
    /// Each file names its ticket, or its link is bound to one.
    Files,
    /// They describe a ticket, which is opened before the first file.
    Ticket(Fields),
    Opened(Box<OpenedFor>),
    /// No ticket was opened.
    Refused(Box<Problem>),
    /// There are no files.
    Fields(Fields),
}

struct Form {
    request: PartnerRequest,
    ticket: Option<String>,
    /// What the next file is.
    ask: Option<String>,
    outcomes: Vec<FileAnswer>,
    /// Refused files that are not among the outcomes.
    unnamed: usize,
    key: Option<ledger::Key>,
    purpose: Purpose,
}

impl Form {
    fn new(request: PartnerRequest, key: Option<ledger::Key>, purpose: Purpose) -> Self {
        Self { request, ticket: None, ask: None, outcomes: Vec::new(), unnamed: 0, key, purpose }
    }

    async fn read(&mut self, body: RateLimitedBody, boundary: &str) {
        let mut parts = Multipart::new(Frames(body), boundary);
        let mut fields = 0;
        loop {
            let headers = match parts.next_part().await {
                Ok(Some(headers)) => headers,
                Ok(None) => {
                    self.open_ticket().await;
                    return;
                }
                Err(error) => return self.stop(broken(error)),
            };
            fields += 1;
            if fields > self.request.state.limits.form_files {
                let max = self.request.state.limits.form_files;
                let why = format!("A form may have at most {max} fields. Send the rest in another form.");
                return self.stop(problem::bad_request(&why));
            }
            match self.part(&headers, parts.data()).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(problem) => return self.stop(problem),
            }
        }
    }

    /// Handles one part. False, or an error that is not reported yet, ends the whole form.
    async fn part(&mut self, headers: &Headers, mut data: Data<'_, Frames>) -> Result<bool, Problem> {
        let (named, content_type) = match part::kind(headers) {
            Kind::Text { field } => {
                self.text(field, &mut data).await?;
                return Ok(true);
            }
            Kind::Refused { named, problem } => {
                self.keep(&named, Err(problem));
                self.skip(&mut data).await?;
                return Ok(true);
            }
            Kind::File { named, content_type } => (named, content_type),
        };
        // A browser sends an empty name and no bytes for an empty file input.
        if named.as_deref() == Some("") && self.skip(&mut data).await? == 0 {
            return Ok(true);
        }
        if !self.open_ticket().await {
            return Ok(false);
        }
        if let Purpose::Fields(_) = self.purpose {
            return Err(problem::bad_request("This form takes no files. Send them through the upload link."));
        }
        let named = named.unwrap_or_else(|| file_name::generate(content_type.as_deref(), ledger::now_ms()));
        let ask = self.ask.take();
        match self.file(&named, content_type.as_deref(), ask, &mut data).await {
            Ok(result) => {
                self.keep(&named, result);
                self.skip(&mut data).await?;
                Ok(true)
            }
            Err(problem) => {
                self.keep(&named, Err(problem));
                Ok(false)
            }
        }
    }

    async fn text(&mut self, field: String, data: &mut Data<'_, Frames>) -> Result<(), Problem> {
        match &mut self.purpose {
            Purpose::Ticket(fields) | Purpose::Fields(fields) => {
                let room = fields.room();
                let text = text(data, room).await?;
                if text.len() >= room {
                    fields.wrong(&field, "All texts together are too long. Send the rest as a file.");
                }
                fields.add(field, text);
            }
            Purpose::Opened(_) | Purpose::Refused(_) => {
                return Err(problem::bad_field(
                    &field,
                    "It comes after a file. Put all fields before the files.",
                ));
            }
            Purpose::Files => {
                let text = text(data, FIELD_BYTES_MAX).await?;
                match field.as_str() {
                    "ticket" => self.ticket = Some(text),
                    "ask" => self.ask = ask::check(Some(text))?,
                    "nfr" => nfr::check(&self.request, Some(&text))?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Opens the ticket, unless this is done or none is wanted. Files that follow go through its link. False: there is none,
    /// and the form ends.
    async fn open_ticket(&mut self) -> bool {
        let Purpose::Ticket(fields) = &mut self.purpose else {
            return !matches!(self.purpose, Purpose::Refused(_));
        };
        match open_ticket::open(&self.request, std::mem::take(fields)).await {
            Ok(opened) => {
                self.request.link = opened.link.clone();
                self.request.address.clone_from(&opened.address);
                self.ticket = Some(opened.ticket.clone());
                self.purpose = Purpose::Opened(Box::new(opened));
                true
            }
            Err(problem) => {
                self.purpose = Purpose::Refused(Box::new(problem));
                false
            }
        }
    }

    /// Stores one file. The inner result is about this file; an outer error ends the form.
    async fn file(
        &self,
        named: &str,
        declared: Option<&str>,
        ask: Option<String>,
        data: &mut Data<'_, Frames>,
    ) -> Result<Result<ledger::Upload, Problem>, Problem> {
        let request = &self.request;
        let started = async {
            let name = file_name::check(named)?;
            let ticket = ticket::resolve(request, self.ticket.as_deref()).await?;
            let content_type = file_name::content_type(declared, &name);
            let new = Create {
                link: &request.link,
                ticket: &ticket,
                name: &name,
                content_type: &content_type,
                length: None,
                // A form cannot be resumed: its sender sends all of it again.
                resumable: false,
                begins_with_body: true,
                digests: &[],
                tus_metadata: None,
                ask: ask.as_deref(),
            };
            Ok::<_, Problem>(request.state.uploads.create(&new).await?)
        };
        let created = match started.await {
            Ok(created) => created,
            Err(problem) => return Ok(Err(problem)),
        };
        let ids: Vec<_> = self.stored().chain([created.id.clone()]).collect();
        if let Some(key) = &self.key {
            idempotency::started(request, key, &ids, &created.id).await?;
        }
        let append = Append { max_bytes: request.max_bytes(), ..Append::default() };
        let frames = data.map(|bytes| bytes.map(Frame::from));
        match request.state.uploads.append(&created.id, &append, frames).await {
            Ok(upload) => Ok(Ok(upload)),
            Err(
                error @ (upload::Error::Interrupted { .. }
                | upload::Error::TooSlow { .. }
                | upload::Error::Malformed(_)),
            ) => Err(Problem::from(error).with_advice(&format!(
                "Send it again: curl --fail-with-body -F file=@FILE '{}'",
                request.address
            ))),
            Err(error) => {
                let ledger = &request.state.ledger;
                Ok(Err(idempotency::why_ended(ledger, self.key.as_ref(), &ids, error).await.into()))
            }
        }
    }

    async fn skip(&self, data: &mut Data<'_, Frames>) -> Result<u64, Problem> {
        let mut bytes = 0;
        while let Some(piece) = data.next().await {
            bytes += piece.map_err(broken)?.len() as u64;
            // A refused file is read within bounds only; then the form ends.
            if bytes > self.request.state.limits.discard_bytes {
                return Err(problem::bad_request(
                    "The form continues for too long after a refused file. Send the other files in a form of their own.",
                ));
            }
        }
        Ok(bytes)
    }

    /// Ends the form: what follows was not read.
    fn stop(&mut self, problem: Problem) {
        self.outcomes.push(FileAnswer { name: String::new(), result: Err(problem) });
    }

    /// Adds a file's result to the answer.
    fn keep(&mut self, named: &str, result: Result<ledger::Upload, Problem>) {
        let refused = || self.outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
        if result.is_err() && refused() >= REFUSED_MAX {
            self.unnamed += 1;
        } else {
            self.outcomes.push(FileAnswer { name: response::shortened(named), result });
        }
    }

    /// Adds a last outcome for the refused files that are not named.
    fn sum_up(&mut self) {
        if self.unnamed > 0 {
            let more = format!(
                "{} more files of this form were refused and are not listed here. Fix the files that are not listed as stored, and \
                 send them in another form.",
                self.unnamed
            );
            self.outcomes.push(FileAnswer { name: String::new(), result: Err(problem::bad_request(&more)) });
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
        idempotency::settle(&self.request.state.ledger, self.key.as_ref(), all.then_some(ids.as_slice()))
            .await;
    }
}

/// The text of a field, cut to what is kept.
async fn text(data: &mut Data<'_, Frames>, kept: usize) -> Result<String, Problem> {
    let (mut text, mut bytes) = (Vec::new(), 0);
    while let Some(piece) = data.next().await {
        let piece = piece.map_err(broken)?;
        bytes += piece.len();
        if bytes > TEXT_BYTES_MAX {
            return Err(problem::bad_request(
                "The text of a form field is too long. Send it as a file: `-F file=@NAME`.",
            ));
        }
        let room = kept.saturating_sub(text.len());
        text.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

/// Why a form broke off.
fn broken(error: BodyError) -> Problem {
    let error = match error {
        BodyError::Interrupted => upload::Error::Interrupted { received: 0 },
        BodyError::TooSlow => upload::Error::TooSlow { received: 0 },
        BodyError::Malformed(why) => upload::Error::Malformed(why),
    };
    error.into()
}

/// The bytes of a form.
struct Frames(RateLimitedBody);

impl Stream for Frames {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let frame = ready!(self.0.poll_next_unpin(cx));
        Poll::Ready(frame.map(|frame| match frame? {
            Frame::Bytes(bytes) => Ok(bytes),
            // A digest of the form describes none of its files.
            Frame::Digests(_) => Ok(Bytes::new()),
        }))
    }
}
