//! A staff API and a bucket on loopback, each on a port of its own, that log what they are asked and fail on demand.
//! A wrong token is 401; the bucket answers only a valid signature, and remembers who showed it a token.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub(crate) const TOKEN: &str = "staff-token-for-tests";
/// Above two pieces of the client, so that ranges run in parallel.
pub(crate) const LARGE: usize = (40 << 20) + 12_345;

type Body = BoxBody<Bytes, io::Error>;

/// What goes wrong with one answer that carries content.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// The connection breaks after so many bytes of the body.
    Cut(usize),
    /// This status instead of content.
    Status(u16),
    /// So many bytes of the body, then silence.
    Hold(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Gateway,
    Bucket,
}

/// A request as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) place: Place,
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) authorization: Option<String>,
    pub(crate) range: Option<String>,
    pub(crate) body: Value,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) uploads: Vec<Value>,
    pub(crate) contents: HashMap<String, Bytes>,
    /// Uploads of one page; 0 means all.
    pub(crate) page: usize,
    /// Whether content is a redirect to the bucket.
    pub(crate) presigned: bool,
    /// How often a presigned URL is good; 0 means always.
    pub(crate) uses: usize,
    /// Presigned URLs of another store, handed out one after the other instead of our bucket's.
    pub(crate) locations: VecDeque<String>,
    pub(crate) faults: VecDeque<Fault>,
    pub(crate) partners: Vec<Value>,
    pub(crate) objects: Vec<Value>,
    pub(crate) escalations: Vec<Value>,
    pub(crate) audit: Vec<Value>,
    pub(crate) links: Vec<Value>,
    pub(crate) hold: Option<Value>,
    pub(crate) contacts: Vec<Value>,
    pub(crate) log: Vec<Seen>,
    signatures: HashMap<usize, usize>,
    bucket: String,
}

pub(crate) struct Fake {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    _runtime: Runtime,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let url = runtime.block_on(serve(Place::Gateway, Arc::clone(&state)));
        let bucket = runtime.block_on(serve(Place::Bucket, Arc::clone(&state)));
        state.lock().unwrap().bucket = bucket;
        Self { url, state, _runtime: runtime }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A completed upload with these bytes.
    pub(crate) fn upload(&self, id: &str, name: &str, ticket: &str, content: Bytes) {
        let receipt = json!({
            "id": id, "name": name, "size": content.len(), "sha256": sha256(&content), "partner": "acme", "ticket": ticket,
            "destination": "support-uploader", "delivery": "done", "received_at": "2026-11-22T10:00:00Z",
            "expires_at": null, "checked": ["sha-256"], "from_the_future": {"kept": true},
        });
        let mut state = self.state();
        state.uploads.push(receipt);
        state.contents.insert(id.to_owned(), content);
    }

    /// An upload on its way in.
    pub(crate) fn open_upload(&self, id: &str, name: &str, ticket: &str) {
        self.state().uploads.push(json!({
            "id": id, "name": name, "size": null, "sha256": null, "partner": "acme", "ticket": ticket,
            "destination": null, "delivery": null, "received_at": null, "expires_at": null, "checked": [], "state": "open",
            "offset": 1_048_576, "length": 20_000_000,
        }));
    }

    /// Flips one bit of what is stored; the receipt stays.
    pub(crate) fn corrupt(&self, id: &str, offset: usize) {
        let mut state = self.state();
        let mut bytes = state.contents[id].to_vec();
        bytes[offset] ^= 1;
        state.contents.insert(id.to_owned(), bytes.into());
    }

    pub(crate) fn seen(&self, place: Place) -> Vec<Seen> {
        self.state().log.iter().filter(|seen| seen.place == place).cloned().collect()
    }
}

/// Bytes without a pattern that a misplaced piece could hide in.
pub(crate) fn bytes(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn serve(place: Place, state: Arc<Mutex<State>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let state = Arc::clone(&state);
            let service = service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, io::Error>(answer(place, request, &state).await) }
            });
            // A connection cut on purpose ends with an error that is no news.
            tokio::spawn(async move {
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
            });
        }
    });
    format!("http://{address}")
}

async fn answer(place: Place, request: Request<Incoming>, state: &Mutex<State>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let header =
        |name| head.headers.get(name).map(|value: &header::HeaderValue| value.to_str().unwrap().to_owned());
    let seen = Seen {
        place,
        method: head.method,
        target: head.uri.path_and_query().unwrap().to_string(),
        authorization: header(header::AUTHORIZATION),
        range: header(header::RANGE),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let mut state = state.lock().unwrap();
    state.log.push(seen.clone());
    match place {
        Place::Bucket => bucket(&seen, &mut state),
        Place::Gateway if seen.authorization != Some(format!("Bearer {TOKEN}")) => {
            problem(401, "the staff token is not valid")
        }
        Place::Gateway => gateway(&seen, &mut state),
    }
}

fn gateway(seen: &Seen, state: &mut State) -> Response<Body> {
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    let segments: Vec<_> = path.trim_start_matches("/api/v1/").split('/').collect();
    let by_id = |list: &[Value], id: &str| list.iter().find(|item| item["id"] == id).cloned();
    match (seen.method.as_str(), segments.as_slice()) {
        ("GET", ["uploads"]) => list(state, query),
        ("GET", ["uploads", id]) => {
            by_id(&state.uploads, id).map_or_else(|| problem(404, "no such upload"), |it| ok(&it))
        }
        ("GET", ["uploads", id, "content"]) => content(seen, state, id, query),
        ("DELETE", ["uploads", id]) => match by_id(&state.uploads, id) {
            Some(_) if id.starts_with("LOCKED") => problem(403, "this upload is under a hold"),
            Some(_) => {
                state.uploads.retain(|upload| upload["id"] != *id);
                empty(204)
            }
            None => problem(404, "no such upload"),
        },
        ("GET", ["partners"]) => ok(&json!({"partners": state.partners})),
        ("GET", ["partners", id]) => {
            by_id(&state.partners, id).map_or_else(|| problem(404, "no such partner"), |it| ok(&it))
        }
        ("GET", ["partners", _, "objects"]) => ok(&json!({"objects": state.objects, "next_cursor": null})),
        (_, ["partners", _, "contacts", ..]) => contacts(seen, state, &segments[3..]),
        (_, ["escalations", ..]) => escalations(seen, state, &segments[1..], query),
        ("GET", ["links"]) if parameter(query, "partner").is_some_and(|partner| partner != "acme") => {
            problem(404, "no such partner")
        }
        ("GET", ["links"]) => ok(&json!({"links": state.links})),
        ("POST", ["links", "L1", "renew"]) => ok(&json!({"id": "L1", "expires_at": "2026-12-01T10:00:00Z"})),
        (method, ["tickets", "1001", "hold"]) => match (method, state.hold.clone()) {
            ("POST", _) => {
                let hold = json!({"ticket": "1001", "reason": seen.body["reason"], "created_by": "staff:01S",
                    "created_at": "2026-11-22T10:00:00Z"});
                state.hold = Some(hold.clone());
                ok(&hold)
            }
            ("GET", Some(hold)) => ok(&hold),
            ("DELETE", Some(_)) => {
                state.hold = None;
                empty(204)
            }
            _ => problem(404, "no hold"),
        },
        ("GET", ["audit"]) if parameter(query, "partner").is_some_and(|partner| partner != "acme") => {
            problem(404, "no such partner")
        }
        ("GET", ["audit"]) => {
            // Pages of two.
            let all = matching(&state.audit, query);
            let start: usize = parameter(query, "cursor").map_or(0, |cursor| cursor.parse().unwrap());
            let next = (start + 2 < all.len()).then(|| (start + 2).to_string());
            let page: Vec<_> = all.into_iter().skip(start).take(2).collect();
            ok(&json!({"entries": page, "next_cursor": next}))
        }
        ("POST", ["links"]) if seen.body["partner"] != "acme" => problem(404, "no such partner"),
        ("POST", ["links"]) => json_answer(
            201,
            &json!({
                "id": "L1", "url": "https://host/u/CAPABILITY", "partner": "acme", "ticket": seen.body["ticket"],
                "rights": seen.body["rights"], "expires_at": "2026-11-24T10:00:00Z", "max_bytes": seen.body["max_bytes"],
                "warning": (seen.body["ticket"] == "404").then_some("Ticket 404 was not checked"),
            }),
        ),
        ("DELETE", ["links", "L1"]) => empty(204),
        ("DELETE", ["links", _]) => problem(410, "the link was revoked before"),
        _ => problem(404, "no such route"),
    }
}

fn contacts(seen: &Seen, state: &mut State, rest: &[&str]) -> Response<Body> {
    match (seen.method.as_str(), rest) {
        _ if !seen.target.starts_with("/api/v1/partners/acme/") => problem(404, "no such partner"),
        ("GET", []) => ok(&json!({"contacts": state.contacts})),
        ("POST", []) if !seen.body["email"].as_str().unwrap().contains('@') => {
            problem(422, "Correct these fields. `email`: It is not an e-mail address.")
        }
        ("POST", []) => {
            let contact = json!({"id": "01C", "partner": "acme", "name": seen.body["name"], "email": seen.body["email"],
                "slack_user_id": seen.body["slack_user_id"], "created_at": "2026-11-22T10:00:00Z", "disabled_at": null});
            state.contacts.push(contact.clone());
            json_answer(201, &contact)
        }
        ("DELETE", [id]) if state.contacts.iter().any(|contact| contact["id"] == *id) => empty(204),
        _ => problem(404, "no such contact"),
    }
}

fn escalations(seen: &Seen, state: &mut State, rest: &[&str], query: &str) -> Response<Body> {
    let found = rest.first().map(|id| state.escalations.iter_mut().find(|known| known["id"] == *id));
    match (seen.method.as_str(), found) {
        ("GET", None) => ok(&json!({"escalations": matching(&state.escalations, query)})),
        ("POST", None) if seen.body["partner"] != "acme" => problem(404, "no ticket of this partner"),
        ("POST", None) if seen.body["request"] == "#1" => {
            problem(422, "Correct these fields. `request`: Leave out the number sign.")
        }
        ("POST", None) => {
            let joined = state.escalations.iter().any(|known| known["ticket"] == seen.body["request"]);
            let answer = json!({"id": "01E", "reference": "E-NEW", "ticket": seen.body["request"], "state": "submitted",
                "joined": joined, "hints": ["It is late.\u{1b}[2J"]});
            json_answer(if joined { 200 } else { 202 }, &answer)
        }
        (_, Some(None)) => problem(404, "no such escalation"),
        ("GET", Some(Some(known))) => ok(known),
        ("PATCH", Some(Some(known))) if known["state"] == "resolved" => {
            problem(409, "it is resolved already. Read its state first.")
        }
        ("PATCH", Some(_)) if seen.body["reason"].as_str().is_some_and(|why| why.contains('\n')) => {
            problem(422, "Correct these fields. `reason`: It has line breaks.")
        }
        ("PATCH", Some(Some(known))) => {
            known["state"] = seen.body["state"].clone();
            ok(known)
        }
        _ => problem(404, "no such route"),
    }
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Those that the filters of the query let through.
fn matching<'a>(all: &'a [Value], query: &str) -> Vec<&'a Value> {
    let matches = |item: &&Value| {
        ["ticket", "partner", "state"]
            .iter()
            .all(|field| parameter(query, field).is_none_or(|value| item[field] == value))
    };
    all.iter().filter(matches).collect()
}

fn list(state: &State, query: &str) -> Response<Body> {
    let all = matching(&state.uploads, query);
    let start: usize = parameter(query, "cursor").map_or(0, |cursor| cursor.parse().unwrap());
    let page = if state.page == 0 { all.len() } else { state.page };
    let end = (start + page).min(all.len());
    let next = (end < all.len()).then(|| end.to_string());
    ok(&json!({"uploads": &all[start..end], "next_cursor": next}))
}

fn content(seen: &Seen, state: &mut State, id: &str, query: &str) -> Response<Body> {
    let Some(bytes) = state.contents.get(id).cloned() else {
        return problem(404, "no such upload");
    };
    if let Some(location) = state.locations.pop_front() {
        return Response::builder().status(302).header(header::LOCATION, location).body(full("")).unwrap();
    }
    if state.presigned && query != "via=gateway" {
        let signature = state.signatures.len();
        let uses = state.uses;
        state.signatures.insert(signature, uses);
        let location = format!("{}/objects/{id}?signature={signature}", state.bucket);
        return Response::builder().status(302).header(header::LOCATION, location).body(full("")).unwrap();
    }
    ranged(seen, state, &bytes)
}

fn bucket(seen: &Seen, state: &mut State) -> Response<Body> {
    let (path, query) = seen.target.split_once('?').unwrap();
    let signature: usize = query.trim_start_matches("signature=").parse().unwrap();
    let limited = state.uses > 0;
    match state.signatures.get_mut(&signature) {
        Some(0) if limited => return problem(403, "Request has expired"),
        Some(left) if limited => *left -= 1,
        Some(_) => {}
        None => return problem(403, "SignatureDoesNotMatch"),
    }
    let bytes = state.contents[path.trim_start_matches("/objects/")].clone();
    ranged(seen, state, &bytes)
}

fn ranged(seen: &Seen, state: &mut State, bytes: &Bytes) -> Response<Body> {
    let fault = state.faults.pop_front();
    if let Some(Fault::Status(status)) = fault {
        return problem(status, "try again");
    }
    let range = seen.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let (first, last) =
        range.map_or((0, bytes.len() - 1), |(first, last)| (first.parse().unwrap(), last.parse().unwrap()));
    if first >= bytes.len() {
        return problem(416, "InvalidRange");
    }
    let slice = bytes.slice(first..=last.min(bytes.len() - 1));
    let answer = Response::builder()
        .status(StatusCode::PARTIAL_CONTENT)
        .header(header::CONTENT_LENGTH, slice.len())
        .header(header::CONTENT_RANGE, format!("bytes {first}-{last}/{}", bytes.len()));
    let body = match fault {
        Some(Fault::Cut(length)) => broken(&slice, length),
        Some(Fault::Hold(length)) => held(&slice, length),
        _ => full(slice),
    };
    answer.body(body).unwrap()
}

/// `length` bytes, and the connection stays open without another one.
fn held(bytes: &Bytes, length: usize) -> Body {
    let bytes = bytes.slice(..length.min(bytes.len()));
    let begun = stream::iter([Ok(Frame::data(bytes))]);
    StreamBody::new(stream::StreamExt::chain(begun, stream::pending())).boxed()
}

/// `length` bytes in small frames, then an error: hyper closes the connection in the middle of the body.
fn broken(bytes: &Bytes, length: usize) -> Body {
    let bytes = bytes.slice(..length.min(bytes.len()));
    let mut frames: Vec<_> =
        bytes.chunks(64 << 10).map(|chunk| Ok(Frame::data(Bytes::copy_from_slice(chunk)))).collect();
    frames.push(Err(io::Error::other("cut on purpose")));
    StreamBody::new(stream::iter(frames)).boxed()
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

fn empty(status: u16) -> Response<Body> {
    Response::builder().status(status).body(full("")).unwrap()
}

fn ok(value: &Value) -> Response<Body> {
    json_answer(200, value)
}

fn json_answer(status: u16, value: &Value) -> Response<Body> {
    let answer = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    answer.body(full(value.to_string())).unwrap()
}

fn problem(status: u16, detail: &str) -> Response<Body> {
    let body =
        json!({"type": "about:blank", "title": "Problem", "status": status, "detail": detail}).to_string();
    let answer = Response::builder().status(status).header(header::CONTENT_TYPE, "application/problem+json");
    answer.header(header::RETRY_AFTER, "0").body(full(body)).unwrap()
}
