//! A Slack sink: accepts incoming webhooks, workflows' triggers and the Web API's calls that the gateway makes, answers and
//! refuses as Slack does, and lists what it got.
//!
//! Invariant: a call that Slack's documentation does not allow is refused, so that no test passes with it.

mod check;
mod sink;
mod view;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use self::sink::{Sink, Wanted, micros};

/// Slack's limit on the text of a message.
const TEXT_CHARS_MAX: usize = 40_000;
/// The largest page of a channel's history, and the default.
const PAGE_MAX: usize = 999;
const PAGE: usize = 100;

/// The sink, and the token of the one app.
struct Workspace {
    sink: Sink,
    bot_token: String,
}

/// The sink's routes: `/services/…` and `/triggers/…` (webhooks), the Web API below `/api/`, `GET /messages`. The Web API
/// takes this token only.
pub fn router(bot_token: String) -> Router {
    Router::new()
        .route("/services/{*path}", post(webhook))
        .route("/triggers/{*path}", post(workflow))
        .route("/api/chat.postMessage", post(post_message))
        .route("/api/views.open", post(open_view))
        .route("/api/conversations.history", get(history).post(history))
        .route("/api/conversations.replies", get(replies).post(replies))
        .route("/messages", get(messages))
        .with_state(Arc::new(Workspace { sink: Sink::default(), bot_token }))
}

/// The name faults are injected by.
pub fn operation(method: &Method, path: &str) -> &'static str {
    match (method.as_str(), path) {
        ("POST", "/api/chat.postMessage") => "PostMessage",
        ("POST", "/api/views.open") => "OpenView",
        ("GET" | "POST", "/api/conversations.history") => "History",
        ("GET" | "POST", "/api/conversations.replies") => "Replies",
        ("POST", path) if path.starts_with("/services/") => "Webhook",
        ("POST", path) if path.starts_with("/triggers/") => "Workflow",
        ("GET", "/messages") => "ListMessages",
        _ => "Other",
    }
}

type Shared = State<Arc<Workspace>>;

async fn webhook(State(workspace): Shared, Path(path): Path<String>, body: Bytes) -> Response {
    let Some(payload) = object(&body) else {
        return (StatusCode::BAD_REQUEST, "invalid_payload").into_response();
    };
    let text = payload.get("text").and_then(Value::as_str).unwrap_or_default();
    if text.is_empty() && payload.get("blocks").is_none() {
        return (StatusCode::BAD_REQUEST, "no_text").into_response();
    }
    workspace.sink.keep("webhook", &path, &payload);
    "ok".into_response()
}

/// A workflow takes a flat object of strings, named as its variables; anything nested is refused.
async fn workflow(State(workspace): Shared, Path(path): Path<String>, body: Bytes) -> Response {
    let flat = |payload: &Value| payload.as_object().is_some_and(|map| map.values().all(Value::is_string));
    let Some(payload) = object(&body).filter(flat) else {
        return (StatusCode::BAD_REQUEST, Json(json!({"ok": false, "error": "invalid_workflow_input"})))
            .into_response();
    };
    workspace.sink.keep("workflow", &path, &payload);
    Json(json!({"ok": true})).into_response()
}

/// A Web API method's answer, or its refusal. Slack answers 200 to both.
type Answer = Result<Json<Value>, Json<Value>>;

async fn post_message(State(workspace): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let known = [
        "channel",
        "text",
        "blocks",
        "thread_ts",
        "reply_broadcast",
        "unfurl_links",
        "unfurl_media",
        "metadata",
        "mrkdwn",
        "parse",
    ];
    let payload = workspace.json(&headers, &body, &known)?;
    let Some(channel) = payload.get("channel").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
        return Err(refused("channel_not_found"));
    };
    let text = payload.get("text").and_then(Value::as_str);
    if text.is_none_or(str::is_empty) && payload.get("blocks").is_none() {
        return Err(refused("no_text"));
    }
    if text.is_some_and(|text| text.chars().count() > TEXT_CHARS_MAX) {
        return Err(refused("msg_too_long"));
    }
    if payload.get("thread_ts").is_some_and(|ts| ts.as_str().and_then(micros).is_none()) {
        return Err(refused_because("invalid_arguments", "thread_ts must be the ts of a message"));
    }
    if let Some(blocks) = payload.get("blocks") {
        check::blocks(blocks, check::MESSAGE_BLOCKS_MAX, check::message_block)
            .map_err(|why| refused_because("invalid_blocks", &why))?;
    }
    if let Some(metadata) = payload.get("metadata") {
        check::metadata(metadata).map_err(|why| refused_because("invalid_metadata_format", &why))?;
    }
    let ts = workspace.sink.keep("message", channel, &payload);
    let message = json!({"type": "message", "text": text, "ts": ts, "metadata": payload.get("metadata")});
    Ok(Json(json!({"ok": true, "channel": channel, "ts": ts, "message": message})))
}

async fn open_view(State(workspace): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let payload = workspace.json(&headers, &body, &["trigger_id", "view"])?;
    if payload.get("trigger_id").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(refused("invalid_trigger_id"));
    }
    let Some(view) = payload.get("view").filter(|view| view.is_object()) else {
        return Err(refused_because("invalid_arguments", "view must be an object"));
    };
    view::modal(view).map_err(|why| refused_because("invalid_arguments", &why))?;
    let id = workspace.sink.keep("view", "modal", &payload);
    let mut view = view.clone();
    view["id"] = json!(format!("V{}", id.replace('.', "")));
    Ok(Json(json!({"ok": true, "view": view})))
}

async fn history(State(workspace): Shared, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let arguments = workspace.form(&uri, &headers, &body, &[])?;
    list(&workspace, &arguments, None)
}

async fn replies(State(workspace): Shared, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let arguments = workspace.form(&uri, &headers, &body, &["ts"])?;
    let first = arguments.get("ts").and_then(|ts| micros(ts));
    let first =
        first.ok_or_else(|| refused_because("invalid_arguments", "ts must be the ts of a message"))?;
    if !workspace.sink.has(arguments.get("channel").map_or("", String::as_str), first) {
        return Err(refused("thread_not_found"));
    }
    list(&workspace, &arguments, Some(first))
}

/// A page of a channel or of a thread.
fn list(workspace: &Workspace, arguments: &Arguments, thread: Option<sink::Micros>) -> Answer {
    let field = |name: &str| arguments.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let channel = field("channel").ok_or_else(|| refused("channel_not_found"))?;
    let time = |name: &str, error: &str| {
        field(name).map(|text| micros(text).ok_or_else(|| refused(error))).transpose()
    };
    let limit = field("limit").map_or(Some(PAGE), |text| text.parse().ok());
    let limit =
        limit.filter(|limit| (1..=PAGE_MAX).contains(limit)).ok_or_else(|| refused("invalid_limit"))?;
    let is_set = |name: &str| matches!(field(name), Some("true" | "1"));
    let wanted = Wanted {
        channel,
        thread,
        oldest: time("oldest", "invalid_ts_oldest")?.unwrap_or_default(),
        latest: time("latest", "invalid_ts_latest")?,
        inclusive: is_set("inclusive"),
        limit,
        cursor: field("cursor"),
        metadata: is_set("include_all_metadata"),
    };
    let page = workspace.sink.page(&wanted).ok_or_else(|| refused("invalid_cursor"))?;
    let mut answer = json!({"ok": true, "messages": page.messages, "has_more": page.next.is_some()});
    if let Some(next) = page.next {
        answer["response_metadata"] = json!({"next_cursor": next});
    }
    Ok(Json(answer))
}

async fn messages(State(workspace): Shared) -> Json<Value> {
    Json(json!({ "messages": workspace.sink.messages() }))
}

/// The arguments of a method that takes a form or a query.
type Arguments = HashMap<String, String>;

impl Workspace {
    /// The arguments of a method that takes JSON.
    fn json(&self, headers: &HeaderMap, body: &[u8], known: &[&str]) -> Result<Value, Json<Value>> {
        self.authorize(headers)?;
        let payload = object(body).ok_or_else(|| refused("invalid_json"))?;
        check::fields(&payload, "the call", known)
            .map_err(|why| refused_because("invalid_arguments", &why))?;
        Ok(payload)
    }

    /// The arguments of a method that reads a channel, from the query of a GET or the form of a POST.
    fn form(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
        more: &[&str],
    ) -> Result<Arguments, Json<Value>> {
        self.authorize(headers)?;
        let known = ["channel", "cursor", "include_all_metadata", "inclusive", "latest", "limit", "oldest"];
        let form = if body.is_empty() { uri.query().unwrap_or_default().as_bytes() } else { body };
        let arguments: Arguments = url::form_urlencoded::parse(form).into_owned().collect();
        let is_unknown = |key: &&String| !known.contains(&key.as_str()) && !more.contains(&key.as_str());
        match arguments.keys().find(is_unknown) {
            Some(unknown) => {
                Err(refused_because("invalid_arguments", &format!("the call has no field {unknown}")))
            }
            None => Ok(arguments),
        }
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<(), Json<Value>> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        if token.is_empty() {
            Err(refused("not_authed"))
        } else if token.as_bytes().ct_eq(self.bot_token.as_bytes()).into() {
            Ok(())
        } else {
            Err(refused("invalid_auth"))
        }
    }
}

fn object(body: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Value>(body).ok().filter(Value::is_object)
}

fn refused(error: &str) -> Json<Value> {
    Json(json!({"ok": false, "error": error}))
}

fn refused_because(error: &str, why: &str) -> Json<Value> {
    let messages = [format!("[ERROR] {why}")];
    Json(json!({"ok": false, "error": error, "response_metadata": {"messages": messages}}))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    const TOKEN: &str = "Bearer xoxb-1";

    async fn send(
        router: &Router,
        method: &str,
        path: &str,
        token: &str,
        body: &str,
    ) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).header("authorization", token);
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn answers_as_slack_does() {
        let router = router("xoxb-1".to_owned());
        let view =
            r#"{"type":"modal","title":{"type":"plain_text","text":"t"},"blocks":[{"type":"divider"}]}"#;
        let long = json!({"channel": "C1", "text": "x".repeat(40_001)}).to_string();
        let open = format!(r#"{{"trigger_id":"1","view":{view}}}"#);
        let cases = [
            ("/services/T1/B1/x", r#"{"text":"hello"}"#, 200, "ok"),
            ("/services/T1/B1/x", r#"{"blocks":[]}"#, 200, "ok"),
            ("/services/T1/B1/x", r#"{"text":""}"#, 400, "no_text"),
            ("/services/T1/B1/x", "hello", 400, "invalid_payload"),
            ("/triggers/T1/2/x", r#"{"ticket":"1001"}"#, 200, r#"{"ok":true}"#),
            ("/triggers/T1/2/x", r#"{"ticket":{}}"#, 400, "invalid_workflow_input"),
            ("/api/chat.postMessage", r#"{"channel":"C1","text":"hi"}"#, 200, r#""ok":true"#),
            ("/api/chat.postMessage", r#"{"text":"hi"}"#, 200, "channel_not_found"),
            ("/api/chat.postMessage", r#"{"channel":"C1","text":""}"#, 200, "no_text"),
            ("/api/chat.postMessage", &long, 200, "msg_too_long"),
            ("/api/chat.postMessage", r#"{"channel":"C1","text":"x","to":"y"}"#, 200, "invalid_arguments"),
            ("/api/chat.postMessage", r#"{"channel":"C1","text":"x","blocks":[]}"#, 200, "invalid_blocks"),
            (
                "/api/chat.postMessage",
                r#"{"channel":"C1","text":"x","metadata":{}}"#,
                200,
                "invalid_metadata_format",
            ),
            (
                "/api/chat.postMessage",
                r#"{"channel":"C1","text":"x","thread_ts":"y"}"#,
                200,
                "invalid_arguments",
            ),
            ("/api/chat.postMessage", "hello", 200, "invalid_json"),
            ("/api/views.open", &open, 200, r#""id":"V"#),
            ("/api/views.open", r#"{"trigger_id":"1","view":{"type":"modal"}}"#, 200, "title is missing"),
            ("/api/views.open", r#"{"view":{}}"#, 200, "invalid_trigger_id"),
            ("/api/conversations.history", "channel=C1", 200, r#""text":"hi""#),
            ("/api/conversations.history", "channel=C1&limit=0", 200, "invalid_limit"),
            ("/api/conversations.history", "channel=C1&oldest=x", 200, "invalid_ts_oldest"),
            ("/api/conversations.history", "channel=C1&cursor=x", 200, "invalid_cursor"),
            ("/api/conversations.history", "channel=C1&ts=1", 200, "invalid_arguments"),
            ("/api/conversations.history", "limit=1", 200, "channel_not_found"),
            ("/api/conversations.replies", "channel=C1&ts=1.000001", 200, "thread_not_found"),
            ("/api/conversations.replies", "channel=C1", 200, "invalid_arguments"),
        ];
        for (path, body, status, part) in cases {
            let (got, text) = send(&router, "POST", path, TOKEN, body).await;
            assert_eq!(got.as_u16(), status, "{path} {body}");
            assert!(text.contains(part), "{path} {body}: {text}");
        }
        let (_, kept) = send(&router, "GET", "/messages", "", "").await;
        let kept: Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(kept["messages"].as_array().unwrap().len(), 5);
        assert_eq!(kept["messages"][0]["payload"]["text"], "hello");
        let (_, found) = send(&router, "GET", "/api/conversations.history?channel=C1", TOKEN, "").await;
        assert!(found.contains(r#""text":"hi""#), "{found}");
    }

    #[tokio::test]
    async fn only_the_apps_own_token_is_accepted() {
        let router = router("xoxb-1".to_owned());
        for method in ["chat.postMessage", "views.open", "conversations.history", "conversations.replies"] {
            for (token, error) in
                [("", "not_authed"), ("Bearer ", "not_authed"), ("Bearer xoxb-2", "invalid_auth")]
            {
                let (_, text) = send(&router, "POST", &format!("/api/{method}"), token, "{}").await;
                assert!(text.contains(error), "{method} {token}: {text}");
            }
        }
    }

    #[test]
    fn operations_have_names() {
        let name = |method: &str, path| operation(&method.parse().unwrap(), path);
        assert_eq!(name("POST", "/services/T/B/x"), "Webhook");
        assert_eq!(name("POST", "/api/chat.postMessage"), "PostMessage");
        assert_eq!(name("POST", "/api/views.open"), "OpenView");
        assert_eq!(name("GET", "/api/conversations.history"), "History");
        assert_eq!(name("GET", "/api/conversations.replies"), "Replies");
        assert_eq!(name("GET", "/services/T/B/x"), "Other");
    }
}
