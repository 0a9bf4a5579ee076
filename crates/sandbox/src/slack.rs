//! A Slack sink: accepts incoming webhooks, `chat.postMessage` and `views.open`, answers as Slack does, and lists messages.
//!
//! Invariant: at most [`KEPT`] messages are held, in memory only; nothing here is durable.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use serde_json::{Value, json};

/// How many messages the sink keeps; the oldest go first.
pub const KEPT: usize = 1000;

/// The messages so far. Shared by all requests of one router.
#[derive(Debug, Default)]
pub struct Sink(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    kept: VecDeque<Value>,
    seen: u64,
}

impl Sink {
    /// Every message still held, oldest first.
    pub fn messages(&self) -> Vec<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).kept.iter().cloned().collect()
    }

    /// Keeps one message and returns its Slack timestamp (`ts`), which is unique.
    fn keep(&self, kind: &str, target: &str, payload: &Value) -> String {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.seen += 1;
        let ts = format!("{}.{:06}", jiff::Timestamp::now().as_second(), inner.seen % 1_000_000);
        if inner.kept.len() == KEPT {
            inner.kept.pop_front();
        }
        inner.kept.push_back(json!({"kind": kind, "to": target, "ts": ts, "payload": payload}));
        ts
    }
}

/// The sink's routes: `/services/…` and `/triggers/…` (webhooks), `/api/chat.postMessage`, `/api/views.open`, `GET /messages`.
pub fn router(sink: Arc<Sink>) -> Router {
    Router::new()
        .route("/services/{*path}", post(webhook))
        .route("/triggers/{*path}", post(workflow))
        .route("/api/chat.postMessage", post(post_message))
        .route("/api/views.open", post(open_view))
        .route("/messages", get(messages))
        .with_state(sink)
}

/// The name faults are injected by.
pub fn operation(method: &Method, path: &str) -> &'static str {
    match (method.as_str(), path) {
        ("POST", "/api/chat.postMessage") => "PostMessage",
        ("POST", "/api/views.open") => "OpenView",
        ("POST", path) if path.starts_with("/services/") => "Webhook",
        ("POST", path) if path.starts_with("/triggers/") => "Workflow",
        ("GET", "/messages") => "ListMessages",
        _ => "Other",
    }
}

async fn webhook(State(sink): State<Arc<Sink>>, Path(path): Path<String>, body: Bytes) -> Response {
    let Some(payload) = object(&body) else {
        return (StatusCode::BAD_REQUEST, "invalid_payload").into_response();
    };
    let text = payload.get("text").and_then(Value::as_str).unwrap_or_default();
    if text.is_empty() && payload.get("blocks").is_none() {
        return (StatusCode::BAD_REQUEST, "no_text").into_response();
    }
    sink.keep("webhook", &path, &payload);
    "ok".into_response()
}

/// A workflow takes a flat object of strings, named as its variables; anything nested is refused.
async fn workflow(State(sink): State<Arc<Sink>>, Path(path): Path<String>, body: Bytes) -> Response {
    let flat = |payload: &Value| payload.as_object().is_some_and(|map| map.values().all(Value::is_string));
    let Some(payload) = object(&body).filter(flat) else {
        return (StatusCode::BAD_REQUEST, Json(json!({"ok": false, "error": "invalid_workflow_input"})))
            .into_response();
    };
    sink.keep("workflow", &path, &payload);
    Json(json!({"ok": true})).into_response()
}

/// A Web API method's answer, or its refusal.
type Answer = Result<Json<Value>, Json<Value>>;

async fn post_message(State(sink): State<Arc<Sink>>, headers: HeaderMap, body: Bytes) -> Answer {
    let payload = call(&headers, &body)?;
    let Some(channel) = payload.get("channel").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
        return Err(refused("channel_not_found"));
    };
    if payload.get("text").is_none() && payload.get("blocks").is_none() {
        return Err(refused("no_text"));
    }
    let ts = sink.keep("message", channel, &payload);
    Ok(Json(json!({"ok": true, "channel": channel, "ts": ts,
        "message": {"type": "message", "text": payload.get("text"), "ts": ts}})))
}

async fn open_view(State(sink): State<Arc<Sink>>, headers: HeaderMap, body: Bytes) -> Answer {
    let payload = call(&headers, &body)?;
    if payload.get("trigger_id").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(refused("invalid_trigger_id"));
    }
    let Some(view) = payload.get("view").filter(|view| view.is_object()) else {
        return Err(refused("invalid_arguments"));
    };
    let id = sink.keep("view", "modal", &payload);
    let mut view = view.clone();
    view["id"] = json!(format!("V{}", id.replace('.', "")));
    Ok(Json(json!({"ok": true, "view": view})))
}

async fn messages(State(sink): State<Arc<Sink>>) -> Json<Value> {
    Json(json!({ "messages": sink.messages() }))
}

fn object(body: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Value>(body).ok().filter(Value::is_object)
}

/// The checks every Web API method shares. Slack answers 200 even to a refusal.
fn call(headers: &HeaderMap, body: &[u8]) -> Result<Value, Json<Value>> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if bearer.is_none_or(|value| value.strip_prefix("Bearer ").is_none_or(str::is_empty)) {
        return Err(refused("not_authed"));
    }
    object(body).ok_or_else(|| refused("invalid_json"))
}

fn refused(error: &str) -> Json<Value> {
    Json(json!({"ok": false, "error": error}))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn send(router: &Router, method: &str, path: &str, body: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).header("authorization", "Bearer xoxb-1");
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn answers_as_slack_does() {
        let router = router(Arc::new(Sink::default()));
        let cases = [
            ("/services/T1/B1/x", r#"{"text":"hello"}"#, 200, "ok"),
            ("/services/T1/B1/x", r#"{"blocks":[]}"#, 200, "ok"),
            ("/services/T1/B1/x", r#"{"text":""}"#, 400, "no_text"),
            ("/services/T1/B1/x", "hello", 400, "invalid_payload"),
            ("/triggers/T1/2/x", r#"{"ticket":"1001"}"#, 200, r#"{"ok":true}"#),
            ("/triggers/T1/2/x", r#"{"ticket":{}}"#, 400, "invalid_workflow_input"),
            ("/api/chat.postMessage", r#"{"channel":"C1","text":"hi"}"#, 200, r#""ok":true"#),
            ("/api/chat.postMessage", r#"{"text":"hi"}"#, 200, "channel_not_found"),
            ("/api/views.open", r#"{"trigger_id":"1","view":{"type":"modal"}}"#, 200, r#""id":"V"#),
            ("/api/views.open", r#"{"view":{}}"#, 200, "invalid_trigger_id"),
        ];
        for (path, body, status, part) in cases {
            let (got, text) = send(&router, "POST", path, body).await;
            assert_eq!(got.as_u16(), status, "{path} {body}");
            assert!(text.contains(part), "{path} {body}: {text}");
        }
        let (_, kept) = send(&router, "GET", "/messages", "").await;
        let kept: Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(kept["messages"].as_array().unwrap().len(), 5);
        assert_eq!(kept["messages"][0]["payload"]["text"], "hello");
    }

    #[test]
    fn oldest_messages_are_dropped_first() {
        let sink = Sink::default();
        for n in 0..KEPT + 5 {
            sink.keep("webhook", "x", &json!({ "n": n }));
        }
        let kept = sink.messages();
        assert_eq!((kept.len(), &kept[0]["payload"]["n"]), (KEPT, &json!(5)));
    }

    #[test]
    fn operations_have_names() {
        let name = |method: &str, path| operation(&method.parse().unwrap(), path);
        assert_eq!(name("POST", "/services/T/B/x"), "Webhook");
        assert_eq!(name("POST", "/api/chat.postMessage"), "PostMessage");
        assert_eq!(name("POST", "/api/views.open"), "OpenView");
        assert_eq!(name("GET", "/services/T/B/x"), "Other");
    }
}
