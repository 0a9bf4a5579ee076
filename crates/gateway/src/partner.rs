//! The partner's side, below `/u/{link}`: who asks, for which ticket, and what for. Everything that can be refused
//! without the body is refused before it is read.

mod append;
mod draft;
mod form;
mod idempotency;
mod put;
mod resource;
mod route;
mod script;
mod ticket;
mod tus;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use ledger::{Link, Partner};

use crate::app::App;
use crate::head::Length;
use crate::headers::{self, Wanted};
use crate::json::Json;
use crate::listen::authenticated;
use crate::problem::{self, Problem};
use crate::{body, head, receipt};

pub(crate) use resource::{page_cursor, page_of};
use route::Route;

/// A request by someone who holds a link.
pub(crate) struct Asking {
    pub(crate) app: App,
    pub(crate) link: Link,
    pub(crate) partner: Partner,
    /// The link's address as this client uses it, with a slash at its end.
    pub(crate) address: String,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) wanted: Wanted,
}

/// Answers every request below `/u/`.
pub(crate) async fn handle(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let wanted = headers::wanted(&parts.headers);
    let mut body = Some(body);
    let result = async {
        head::check(&parts)?;
        let method = method(&parts.method, &parts.headers)?;
        let (token, route) = route::of(&method, parts.uri.path())?;
        if token == "-" && route == Route::Options && asks_ahead(&parts.headers) {
            return Ok(ahead());
        }
        let (link, partner, address) = authenticate(&app, token, &route, &parts.headers).await?;
        authenticated(&parts.extensions);
        let per_minute = app.requests_per_minute(&link);
        app.requests
            .take(&link.id, per_minute)
            .map_err(|wait| problem::too_many_requests(per_minute, wait))?;
        let asking = Asking {
            app: app.clone(),
            link,
            partner,
            address,
            method,
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            wanted,
        };
        if let Some(length) = brings_a_file(&asking, &route)? {
            head::check_file(&parts, length, || how_to_send(&asking, &route))?;
        }
        answer(asking, route, &mut body).await
    }
    .await;
    let is_refused = result.is_err();
    let mut response = result.unwrap_or_else(|problem| problem.answer(wanted));
    if is_refused && draft::is_sending(&parts.method, &parts.headers) {
        draft::sign_refusal(&mut response);
    }
    if parts.headers.contains_key("tus-resumable") {
        tus::sign(&mut response);
    }
    tus::share(&mut response);
    match body {
        Some(unread) => body::linger(response, unread, &parts.headers, &app.limits),
        None => response,
    }
}

async fn answer(asking: Asking, route: Route<'_>, body: &mut Option<Body>) -> Result<Response, Problem> {
    if route != Route::Options {
        tus::check_version(&asking)?;
    }
    match route {
        Route::Page => Ok(page(&asking)),
        Route::Script(script) => Ok(script::script(&asking, script)),
        Route::Options => Ok(options(&asking)),
        Route::Put { name } => put::put(asking, name, body).await,
        Route::Create | Route::Append { .. } => match (route, append::Dialect::of(&asking)?) {
            (Route::Append { id }, _) => Box::pin(append::append(asking, id, body)).await,
            (_, append::Dialect::Tus) => Box::pin(tus::create(asking, body)).await,
            (_, append::Dialect::Draft) => Box::pin(draft::create(asking, None, body)).await,
            (_, append::Dialect::Plain) => Err(problem::bad_request(
                "Say which protocol you speak: `Tus-Resumable: 1.0.0` (tus) or `Upload-Complete: ?0` (IETF \
                     resumable uploads). To send a file as it is, use PUT (`curl -T NAME`).",
            )),
        },
        Route::HeadNamed { name } => resource::head_named(&asking, name).await,
        Route::Form if asking.headers.contains_key("upload-complete") => {
            Box::pin(draft::create(asking, None, body)).await
        }
        Route::Form => form::form(asking, body).await,
        Route::Show { id } => resource::show(&asking, id).await,
        Route::Head { id } => resource::head(&asking, id).await,
        Route::Delete { id } => resource::delete(&asking, id).await,
        Route::List => resource::list(&asking).await,
    }
}

/// Where the body of the request is a file or a piece of one: whether its length must be said. A creation whose file comes
/// later has no body.
fn brings_a_file(asking: &Asking, route: &Route<'_>) -> Result<Option<Length>, Problem> {
    if matches!(route, Route::Put { .. } | Route::Append { .. }) {
        return Ok(Some(Length::Said));
    }
    if !matches!(route, Route::Create | Route::Form) {
        return Ok(None);
    }
    Ok(match headers::upload::complete(&asking.headers)? {
        Some(true) => Some(Length::Said),
        Some(false) => Some(Length::Any),
        None => (*route == Route::Create).then_some(Length::Any),
    })
}

/// How to send the file that came as a form.
fn how_to_send(asking: &Asking, route: &Route<'_>) -> String {
    let user = asking.user_option();
    if let Route::Append { id } = route {
        let location = asking.location(id);
        return format!(
            "Send the missing bytes and nothing around them. HEAD on this address tells the offset N; then: \
             tail -c +$((N + 1)) FILE | curl --fail-with-body {user}-H 'Upload-Offset: N' -T - '{location}'"
        );
    }
    let address = &asking.address;
    let (name, query) = match ticket::named(asking).filter(|_| asking.link.ticket.is_none()) {
        // Before a query curl adds no name.
        Some(ticket) => ("NAME", format!("?ticket={ticket}")),
        None => ("", String::new()),
    };
    format!(
        "Send the file itself: curl --fail-with-body {user}-T FILE '{address}{name}{query}' Or send the form with POST, \
         without `-X PUT`: curl --fail-with-body {user}-F file=@FILE '{address}{query}'"
    )
}

/// Finds the link by the token in the path, or by the one in `Authorization` where the path has `-`.
async fn authenticate(
    app: &App,
    segment: &str,
    route: &Route<'_>,
    headers: &HeaderMap,
) -> Result<(Link, Partner, String), Problem> {
    let hint = "Send it as `Authorization: Bearer TOKEN`, or as the password of basic authentication (`curl -u any:TOKEN`).";
    let in_header = segment == "-";
    let token = if in_header {
        headers::token(headers).ok_or_else(|| problem::unauthorized(hint))?
    } else {
        segment.to_owned()
    };
    let link = match app.ledger.link_by_token(&token).await {
        Err(ledger::Error::NotFound) if in_header => return Err(problem::unauthorized(hint)),
        Err(ledger::Error::NotFound) => return Err(problem::unknown_link()),
        other => other?,
    };
    let partner = app.ledger.partner(&link.partner_id).await?;
    if link.revoked_at.is_some() || partner.disabled_at.is_some() {
        return Err(problem::link_expired(true));
    }
    // What was admitted before may still be finished, and asked about.
    let of_an_upload = matches!(
        route,
        Route::Show { .. } | Route::Head { .. } | Route::Append { .. } | Route::Delete { .. }
    );
    if !of_an_upload && link.expires_at.is_some_and(|at| at <= ledger::now_ms()) {
        return Err(problem::link_expired(false));
    }
    let address = format!("{}/u/{segment}/", app.public_url);
    Ok((link, partner, address))
}

fn page(asking: &Asking) -> Response {
    let expires_at = asking.link.expires_at.map(ledger::rfc3339);
    let html = page::upload(&page::UploadPage {
        partner: &asking.partner.name,
        ticket: asking.link.ticket.as_deref(),
        link: &asking.address,
        here: &route::here(asking.uri.path()),
        max_bytes: asking.app.uploads.max_bytes(&asking.link),
        ticket_attachment_bytes: asking.app.limits.ticket_attachment_bytes,
        expires_at: expires_at.as_deref(),
    });
    ([("cache-control", "no-store")], Html(html)).into_response()
}

/// Whether a browser asks for a page on another site whether it may, which it does without credentials (Fetch standard,
/// CORS-preflight request).
fn asks_ahead(headers: &HeaderMap) -> bool {
    headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) && !headers.contains_key(AUTHORIZATION)
}

/// What it is told where the token is to come in a header: what may be sent, and nothing of any link.
fn ahead() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    tus::share_ahead(&mut response);
    response
}

/// Limits and ways to send, before a byte is sent. No partner's data: the link alone decides.
fn options(asking: &Asking) -> Response {
    let uploads = &asking.app.uploads;
    let max = uploads.max_bytes(&asking.link);
    let rights: Vec<_> = asking.link.rights.iter().map(|right| right.name()).collect();
    let body = serde_json::json!({
        "max_size": max,
        "ticket_attachment_size": asking.app.limits.ticket_attachment_bytes,
        "ticket": asking.link.ticket,
        "max_open": uploads.max_open(&asking.link),
        "max_unfinished_bytes": uploads.max_unfinished_bytes(&asking.link),
        "max_requests_per_minute": asking.app.requests_per_minute(&asking.link),
        "expires_at": asking.link.expires_at.map(ledger::rfc3339),
        "rights": rights,
        "methods": ["PUT", "POST multipart/form-data", "tus 1.0.0", draft::PROTOCOL],
        "resume_window_seconds": asking.app.limits.resume_window.as_secs(),
        "digests": upload::Algorithm::ALL.map(upload::Algorithm::name),
    });
    let mut response = (
        [
            ("allow", "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS".to_owned()),
            ("accept-patch", "application/offset+octet-stream, application/partial-upload".to_owned()),
            ("upload-limit", draft::limits(asking, None)),
            ("want-repr-digest", "sha-256=10, sha-512=3, md5=1, sha=1".to_owned()),
            ("cache-control", "no-store".to_owned()),
        ],
        Json(body),
    )
        .into_response();
    tus::abilities(&mut response, max);
    tus::share_ahead(&mut response);
    response
}

/// The method, or the one that a client says it means, behind a proxy that lets no other through. In tus it is the method
/// whatever it says; who speaks no protocol means it only where it makes sense.
fn method(method: &Method, headers: &HeaderMap) -> Result<Method, Problem> {
    let Some(name) = headers::text(headers, tus::METHOD_OVERRIDE.as_str())? else {
        return Ok(method.clone());
    };
    let makes_sense = *method == Method::POST && ["PATCH", "DELETE", "HEAD"].contains(&name);
    if !makes_sense && !headers.contains_key("tus-resumable") {
        return Ok(method.clone());
    }
    Method::from_bytes(name.as_bytes()).map_err(|_| {
        problem::bad_request(
            "The header X-HTTP-Method-Override names no method. Write `PATCH`, or leave it out.",
        )
    })
}

impl Asking {
    /// What curl needs besides, where the token is not in the address.
    pub(crate) fn user_option(&self) -> &'static str {
        if self.address.ends_with("/u/-/") { "-u any:TOKEN " } else { "" }
    }

    /// As the audit names whoever asks.
    pub(crate) fn actor(&self) -> String {
        format!("link:{}", self.link.id)
    }

    /// Address of an upload of this link.
    pub(crate) fn location(&self, id: &str) -> String {
        format!("{}uploads/{id}", self.address)
    }

    /// A value of the query string, percent-decoded.
    pub(crate) fn query(&self, key: &str) -> Option<String> {
        let query = self.uri.query()?;
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.into_owned())
    }

    /// The receipt in the form the client asked for.
    pub(crate) fn receipt(&self, status: StatusCode, upload: &ledger::Upload) -> Response {
        let location = self.location(&upload.id);
        let headers = [("location", location.clone()), ("cache-control", "no-store".to_owned())];
        let mut response = match self.wanted {
            Wanted::Json => (status, headers, Json(receipt::json(upload))).into_response(),
            Wanted::Text => (status, headers, receipt::text(upload, &location)).into_response(),
            Wanted::Html => {
                let place = receipt::sentence(upload);
                let size =
                    receipt::size(upload).and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
                let html = match &upload.sha256 {
                    Some(sha256) if receipt::size(upload).is_some() => {
                        let here = route::here(self.uri.path());
                        let outcome = page::Outcome::Stored {
                            name: &upload.name,
                            size,
                            sha256,
                            place: &place,
                            location: &format!("{here}uploads/{}", upload.id),
                        };
                        page::outcomes(&here, &[outcome])
                    }
                    _ => resource::unfinished(self, upload),
                };
                (status, headers, Html(html)).into_response()
            }
        };
        if status == StatusCode::CREATED {
            self.give_wanted_digest(upload, &mut response);
        }
        response
    }

    /// `Repr-Digest` of the file, in the answer to the request that completed it, for a sender that asked for it with
    /// `Want-Repr-Digest` (RFC 9530 section 4; the draft's section 10.1). Not in the answer to a `GET`: there it would have
    /// to be of the receipt's text.
    pub(crate) fn give_wanted_digest(&self, upload: &ledger::Upload, response: &mut Response) {
        if upload.state == ledger::State::Complete
            && headers::want::sha256(&self.headers)
            && let Some(digest) = upload.sha256.as_deref().and_then(headers::want::digest)
        {
            append::set(response, "repr-digest", &digest);
        }
    }
}
