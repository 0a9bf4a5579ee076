//! What Slack sends to the app, read from the body of its request.
//!
//! Invariant: nothing here decides who may do what; the caller checks the signature before, and the channel after.

use serde_json::Value;
use url::form_urlencoded;

use super::blocks;
use super::form::{CALLBACK_ID, EscalationFields};

/// The action ID of the button that opens the form.
pub const ESCALATE_ACTION: &str = "escalate";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Slack tests our address: answer with this text.
    Challenge(String),
    Message(ChannelMessage),
    /// A button or a slash command: open the form within three seconds.
    OpenForm {
        trigger_id: String,
        channel: String,
        user: String,
        /// What the button or the command says, perhaps a ticket number.
        request: String,
    },
    Submitted(Submission),
    /// Needs nothing but an answer.
    Ignored,
}

/// A new message in a channel that the app is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelMessage {
    /// The same in every delivery.
    pub event_id: String,
    pub channel: String,
    /// Names the message in its channel.
    pub ts: String,
    pub thread_ts: Option<String>,
    pub user: Option<String>,
    /// Who posted it, if an app or a workflow did; our own messages have it too.
    pub bot_id: Option<String>,
    /// As Slack escapes it.
    pub text: String,
}

/// Our form was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The same in every delivery.
    pub view_id: String,
    /// Where the form was opened.
    pub channel: String,
    pub user: String,
    pub fields: EscalationFields,
}

/// Reads a request of Slack. `None` if it does not have a shape that Slack documents.
pub fn parse(content_type: Option<&str>, body: &[u8]) -> Option<Incoming> {
    let kind = content_type.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        event(&serde_json::from_slice(body).ok()?)
    } else if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        form(body)
    } else {
        None
    }
}

fn event(body: &Value) -> Option<Incoming> {
    match string(body, "type")? {
        "url_verification" => Some(Incoming::Challenge(string(body, "challenge")?.to_owned())),
        "event_callback" => {
            let event = body.get("event")?;
            let is_message = string(event, "type")? == "message";
            let is_new = matches!(string(event, "subtype"), None | Some("bot_message"));
            if is_message && is_new { message(body, event) } else { Some(Incoming::Ignored) }
        }
        _ => Some(Incoming::Ignored),
    }
}

fn message(body: &Value, event: &Value) -> Option<Incoming> {
    let owned = |field: &str| string(event, field).map(str::to_owned);
    let text = owned("text").filter(|text| !text.is_empty());
    let text = text.or_else(|| event.get("blocks").map(blocks::text)).unwrap_or_default();
    Some(Incoming::Message(ChannelMessage {
        event_id: string(body, "event_id")?.to_owned(),
        channel: owned("channel")?,
        ts: owned("ts")?,
        thread_ts: owned("thread_ts"),
        user: owned("user"),
        bot_id: owned("bot_id"),
        text,
    }))
}

fn form(body: &[u8]) -> Option<Incoming> {
    let field = |name: &str| {
        form_urlencoded::parse(body).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    if let Some(payload) = field("payload") {
        return interaction(&serde_json::from_str(&payload).ok()?);
    }
    if field("ssl_check").is_some() {
        return Some(Incoming::Ignored);
    }
    field("command")?;
    Some(Incoming::OpenForm {
        trigger_id: field("trigger_id")?,
        channel: field("channel_id")?,
        user: field("user_id")?,
        request: field("text").unwrap_or_default().trim().to_owned(),
    })
}

/// A click or the submission of a form.
fn interaction(payload: &Value) -> Option<Incoming> {
    let at = |path: &str| payload.pointer(path).and_then(Value::as_str);
    match string(payload, "type")? {
        "block_actions" => {
            let mut actions = payload.get("actions")?.as_array()?.iter();
            let is_ours = |action: &&Value| string(action, "action_id") == Some(ESCALATE_ACTION);
            let Some(action) = actions.find(is_ours) else { return Some(Incoming::Ignored) };
            Some(Incoming::OpenForm {
                trigger_id: at("/trigger_id")?.to_owned(),
                channel: at("/channel/id").or_else(|| at("/container/channel_id"))?.to_owned(),
                user: at("/user/id")?.to_owned(),
                request: string(action, "value").unwrap_or_default().trim().to_owned(),
            })
        }
        "view_submission" if at("/view/callback_id") == Some(CALLBACK_ID) => {
            Some(Incoming::Submitted(Submission {
                view_id: at("/view/id")?.to_owned(),
                channel: at("/view/private_metadata")?.to_owned(),
                user: at("/user/id")?.to_owned(),
                fields: EscalationFields::submitted(payload.pointer("/view/state/values")?),
            }))
        }
        _ => Some(Incoming::Ignored),
    }
}

fn string<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const JSON: Option<&str> = Some("application/json; charset=utf-8");
    const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

    fn callback(event: &Value) -> Value {
        json!({"token": "t", "team_id": "T1", "api_app_id": "A1", "event": event, "type": "event_callback",
            "event_id": "Ev1", "event_time": 1})
    }

    fn payload(payload: &Value) -> Vec<u8> {
        let fields = [("payload", payload.to_string())];
        form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into_bytes()
    }

    fn posted(text: &str) -> ChannelMessage {
        ChannelMessage {
            event_id: "Ev1".to_owned(),
            channel: "C1".to_owned(),
            ts: "1.000001".to_owned(),
            thread_ts: None,
            user: Some("U1".to_owned()),
            bot_id: None,
            text: text.to_owned(),
        }
    }

    #[test]
    fn events() {
        let message = |fields: Value| {
            let mut event =
                json!({"type": "message", "channel": "C1", "user": "U1", "text": "hi", "ts": "1.000001"});
            event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            callback(&event)
        };
        let blocks = json!([{"type": "section", "text": {"type": "mrkdwn", "text": "Request: 1"}}]);
        let from_bot = ChannelMessage { bot_id: Some("B1".to_owned()), user: None, ..posted("hi") };
        let reply = ChannelMessage { thread_ts: Some("0.000001".to_owned()), ..posted("hi") };
        for (body, found) in [
            (
                json!({"type": "url_verification", "token": "t", "challenge": "3eZb"}),
                Some(Incoming::Challenge("3eZb".to_owned())),
            ),
            (message(json!({})), Some(Incoming::Message(posted("hi")))),
            (message(json!({"thread_ts": "0.000001"})), Some(Incoming::Message(reply))),
            (
                message(json!({"subtype": "bot_message", "bot_id": "B1", "user": null})),
                Some(Incoming::Message(from_bot)),
            ),
            (message(json!({"text": "", "blocks": blocks})), Some(Incoming::Message(posted("Request: 1")))),
            (message(json!({"blocks": blocks})), Some(Incoming::Message(posted("hi")))),
            (message(json!({"text": null})), Some(Incoming::Message(posted("")))),
            (message(json!({"subtype": "message_changed"})), Some(Incoming::Ignored)),
            (message(json!({"subtype": "message_deleted"})), Some(Incoming::Ignored)),
            (message(json!({"subtype": "channel_join"})), Some(Incoming::Ignored)),
            (callback(&json!({"type": "app_mention", "channel": "C1"})), Some(Incoming::Ignored)),
            (json!({"type": "app_rate_limited"}), Some(Incoming::Ignored)),
            (message(json!({"ts": null})), None),
            (json!({"type": "url_verification"}), None),
            (json!({"type": "event_callback"}), None),
            (json!({}), None),
        ] {
            assert_eq!(parse(JSON, body.to_string().as_bytes()), found, "{body}");
        }
    }

    #[test]
    fn clicks_and_forms() {
        let click = |action: &str, value: &str| {
            json!({"type": "block_actions", "trigger_id": "1.2.x", "user": {"id": "U1", "team_id": "T2"},
                "channel": {"id": "C1", "name": "a_acme"}, "container": {"type": "message", "channel_id": "C1"},
                "actions": [{"type": "button", "action_id": action, "block_id": "b", "value": value}]})
        };
        let sent = |callback_id: &str| {
            json!({"type": "view_submission", "user": {"id": "U1"}, "view": {"id": "V1", "type": "modal",
                "callback_id": callback_id, "private_metadata": "C1",
                "state": {"values": {"request": {"value": {"type": "plain_text_input", "value": "1001"}}}}}})
        };
        let open = Incoming::OpenForm {
            trigger_id: "1.2.x".to_owned(),
            channel: "C1".to_owned(),
            user: "U1".to_owned(),
            request: "1001".to_owned(),
        };
        let mut in_container = click("escalate", "1001");
        in_container["channel"] = Value::Null;
        let mut no_channel = in_container.clone();
        no_channel["container"] = Value::Null;
        let submitted = Submission {
            view_id: "V1".to_owned(),
            channel: "C1".to_owned(),
            user: "U1".to_owned(),
            fields: EscalationFields { request: "1001".to_owned(), ..EscalationFields::default() },
        };
        for (body, found) in [
            (click("escalate", "1001"), Some(open.clone())),
            (in_container, Some(open)),
            (no_channel, None),
            (click("open_page", ""), Some(Incoming::Ignored)),
            (sent("escalate-form"), Some(Incoming::Submitted(submitted))),
            (sent("other"), Some(Incoming::Ignored)),
            (json!({"type": "view_closed"}), Some(Incoming::Ignored)),
            (json!({"type": "block_actions"}), None),
            (json!({}), None),
        ] {
            assert_eq!(parse(FORM, &payload(&body)), found, "{body}");
        }
    }

    #[test]
    fn slash_commands() {
        let open = |request: &str| {
            Some(Incoming::OpenForm {
                trigger_id: "1.2.x".to_owned(),
                channel: "C1".to_owned(),
                user: "U1".to_owned(),
                request: request.to_owned(),
            })
        };
        let base = "token=t&team_id=T1&channel_id=C1&channel_name=a_acme&user_id=U1&command=%2Fescalate&trigger_id=1.2.x";
        for (content_type, body, found) in [
            (FORM, format!("{base}&text=+1001+"), open("1001")),
            (FORM, format!("{base}&text="), open("")),
            (FORM, base.to_owned(), open("")),
            (FORM, "ssl_check=1&token=t".to_owned(), Some(Incoming::Ignored)),
            (FORM, "command=%2Fescalate".to_owned(), None),
            (FORM, "payload=no+json".to_owned(), None),
            (FORM, String::new(), None),
            (JSON, base.to_owned(), None),
            (Some("text/plain"), base.to_owned(), None),
            (None, base.to_owned(), None),
        ] {
            assert_eq!(parse(content_type, body.as_bytes()), found, "{body}");
        }
    }
}
