//! A message to post, and its JSON.
//!
//! Invariant: every message carries our ID as metadata, which [`super::Slack::find`] looks for.

use serde_json::{Value, json};

/// Marks our metadata.
const EVENT_TYPE: &str = "weighbridge";
/// Slack's limit on the text of a section, in characters.
const SECTION_CHARS_MAX: usize = 3000;

/// A message for a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The channel's ID.
    pub channel: String,
    /// Slack's markup. Pass text from strangers through [`super::escape`] first.
    pub text: String,
    /// The message to answer, as its `ts`.
    pub thread_ts: Option<String>,
    /// At most 25.
    pub buttons: Vec<Button>,
    /// Our own ID of this message.
    pub id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Button {
    /// Opens a page.
    Link { label: String, url: String },
    /// Sends the action to our app.
    Action { label: String, action_id: String, value: String },
}

impl Button {
    fn json(&self) -> Value {
        let (label, mut button) = match self {
            Self::Link { label, url } => (label, json!({"type": "button", "url": url})),
            Self::Action { label, action_id, value } => {
                (label, json!({"type": "button", "action_id": action_id, "value": value}))
            }
        };
        button["text"] = json!({"type": "plain_text", "text": label});
        button
    }
}

impl Message {
    /// The arguments of `chat.postMessage`.
    pub(super) fn json(&self) -> Value {
        let mut body = json!({
            "channel": self.channel,
            "text": self.text,
            "unfurl_links": false,
            "unfurl_media": false,
            "metadata": {"event_type": EVENT_TYPE, "event_payload": {"id": self.id}},
        });
        if let Some(thread_ts) = &self.thread_ts {
            body["thread_ts"] = json!(thread_ts);
        }
        if !self.buttons.is_empty() {
            let section = |text| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
            let mut blocks: Vec<Value> = sections(&self.text).into_iter().map(section).collect();
            let buttons: Vec<Value> = self.buttons.iter().map(Button::json).collect();
            blocks.push(json!({"type": "actions", "elements": buttons}));
            body["blocks"] = json!(blocks);
        }
        body
    }
}

/// Whether a message of Slack's has our metadata with this ID.
pub(super) fn has_id(message: &Value, id: &str) -> bool {
    let metadata = message.get("metadata");
    let event_type = metadata.and_then(|metadata| metadata.get("event_type"));
    let found = metadata.and_then(|metadata| metadata.pointer("/event_payload/id"));
    event_type.is_some_and(|kind| kind == EVENT_TYPE) && found.is_some_and(|found| found == id)
}

/// The text in pieces that fit into a section, cut at the end of a line or a word where there is one.
fn sections(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((end, _)) = rest.char_indices().nth(SECTION_CHARS_MAX) {
        let (fits, _) = rest.split_at(end);
        let cut = fits.rfind('\n').or_else(|| fits.rfind(' ')).filter(|at| *at > 0).unwrap_or(end);
        let (piece, after) = rest.split_at(cut);
        pieces.push(piece);
        rest = after.trim_start();
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            channel: "C1".to_owned(),
            text: "*Ticket 1001*".to_owned(),
            thread_ts: None,
            buttons: vec![],
            id: "esc_1".to_owned(),
        }
    }

    #[test]
    fn a_message_has_the_documented_shape() {
        let plain = json!({
            "channel": "C1",
            "text": "*Ticket 1001*",
            "unfurl_links": false,
            "unfurl_media": false,
            "metadata": {"event_type": "weighbridge", "event_payload": {"id": "esc_1"}},
        });
        assert_eq!(message().json(), plain);
        let buttons = vec![
            Button::Link { label: "Open".to_owned(), url: "https://x.example/1".to_owned() },
            Button::Action {
                label: "Escalate".to_owned(),
                action_id: "escalate".to_owned(),
                value: "1001".to_owned(),
            },
        ];
        let mut rich = plain;
        rich["thread_ts"] = json!("1.000001");
        rich["blocks"] = json!([
            {"type": "section", "text": {"type": "mrkdwn", "text": "*Ticket 1001*"}},
            {"type": "actions", "elements": [
                {"type": "button", "text": {"type": "plain_text", "text": "Open"}, "url": "https://x.example/1"},
                {"type": "button", "text": {"type": "plain_text", "text": "Escalate"}, "action_id": "escalate",
                    "value": "1001"},
            ]},
        ]);
        let sent = Message { thread_ts: Some("1.000001".to_owned()), buttons, ..message() }.json();
        assert_eq!(sent, rich);
    }

    #[test]
    fn our_messages_are_recognised() {
        for (metadata, found) in [
            (json!({"event_type": "weighbridge", "event_payload": {"id": "esc_1"}}), true),
            (json!({"event_type": "weighbridge", "event_payload": {"id": "esc_2"}}), false),
            (json!({"event_type": "other", "event_payload": {"id": "esc_1"}}), false),
            (json!({"event_type": "weighbridge"}), false),
            (Value::Null, false),
        ] {
            assert_eq!(has_id(&json!({"text": "esc_1", "metadata": metadata}), "esc_1"), found, "{metadata}");
        }
        assert!(!has_id(&json!({"text": "esc_1"}), "esc_1"));
    }

    #[test]
    fn long_text_is_cut_into_sections() {
        let (line, word) = ("a".repeat(2000), "ä".repeat(3500));
        let lines = format!("{line}\n{line}");
        for (text, lengths) in [
            ("", vec![]),
            ("a b", vec![3]),
            (lines.as_str(), vec![2000, 2000]),
            (&word, vec![3000, 500]),
            (&format!("a {word}"), vec![1, 3000, 500]),
        ] {
            let found: Vec<usize> = sections(text).iter().map(|piece| piece.chars().count()).collect();
            assert_eq!(found, lengths);
        }
    }
}
