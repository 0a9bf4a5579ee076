//! The escalation form: our own in Slack, and the message that a workflow's form posts.
//!
//! Invariant: the names of the fields are the block IDs of our form, so an error finds its field.

use serde_json::{Map, Value, json};

use super::text::plain;

/// Marks submissions of our form.
pub const CALLBACK_ID: &str = "escalate-form";

/// Every input of the form has this action ID; its block ID is the name of its field.
const ACTION_ID: &str = "value";
/// Slack's limit on `private_metadata`.
const METADATA_CHARS_MAX: usize = 3000;
/// Longer than any ticket or case number.
const REQUEST_CHARS_MAX: usize = 100;
/// Slack's limit on what is typed into one field.
const TEXT_CHARS_MAX: usize = 3000;
/// What is chosen, and its words. The first is the default.
const URGENCIES: [(&str, &str); 3] =
    [("2h", "Within 2 hours"), ("1h", "Within 1 hour"), ("30m", "Within 30 minutes")];

/// An escalation as a person wrote it; nothing is checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EscalationFields {
    /// The number of the ticket or the partner's case.
    pub request: String,
    pub reason: String,
    /// What support should do.
    pub actions: String,
    pub urgency: Option<String>,
    /// `yes` if the box of our form is checked.
    pub emergency: Option<String>,
}

/// Our form for `views.open`. It remembers the channel; `request` is filled in.
pub fn modal(channel: &str, request: &str) -> Value {
    let mut number =
        json!({"type": "plain_text_input", "action_id": ACTION_ID, "max_length": REQUEST_CHARS_MAX});
    if !request.is_empty() {
        number["initial_value"] = json!(cut(request, REQUEST_CHARS_MAX));
    }
    let text = || {
        json!({"type": "plain_text_input", "action_id": ACTION_ID, "multiline": true,
            "max_length": TEXT_CHARS_MAX})
    };
    let option = |(value, words): &(&str, &str)| json!({"text": plain_text(words), "value": value});
    let urgencies: Vec<Value> = URGENCIES.iter().map(option).collect();
    let urgency = json!({"type": "static_select", "action_id": ACTION_ID, "initial_option": urgencies.first(),
        "options": urgencies});
    let box_words = "Production is down or unusable";
    let emergency = json!({"type": "checkboxes", "action_id": ACTION_ID,
        "options": [{"text": plain_text(box_words), "value": "yes"}]});
    json!({
        "type": "modal",
        "callback_id": CALLBACK_ID,
        "private_metadata": cut(channel, METADATA_CHARS_MAX),
        "title": plain_text("Escalate a ticket"),
        "submit": plain_text("Send"),
        "close": plain_text("Cancel"),
        "blocks": [
            input("request", "Ticket number or your case number", &number, false),
            input("reason", "Reason", &text(), false),
            input("actions", "Desired actions", &text(), false),
            input("urgency", "Urgency", &urgency, false),
            input("emergency", "Emergency", &emergency, true),
        ],
    })
}

fn input(name: &str, label: &str, element: &Value, optional: bool) -> Value {
    json!({"type": "input", "block_id": name, "label": plain_text(label), "element": element,
        "optional": optional})
}

fn plain_text(text: &str) -> Value {
    json!({"type": "plain_text", "text": text})
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

impl EscalationFields {
    /// Reads `view.state.values` of a submission of our form.
    pub(super) fn submitted(values: &Value) -> Self {
        let field = |name: &str| values.get(name).and_then(|block| block.get(ACTION_ID));
        let text = |name: &str| {
            let typed = field(name).and_then(|field| field.get("value")).and_then(Value::as_str);
            typed.unwrap_or_default().trim().to_owned()
        };
        let chosen = |name: &str, path: &str| {
            field(name).and_then(|field| field.pointer(path)).and_then(Value::as_str).map(str::to_owned)
        };
        Self {
            request: text("request"),
            reason: text("reason"),
            actions: text("actions"),
            urgency: chosen("urgency", "/selected_option/value"),
            emergency: chosen("emergency", "/selected_options/0/value"),
        }
    }

    fn field(&mut self, field: Field) -> &mut String {
        match field {
            Field::Request => &mut self.request,
            Field::Reason => &mut self.reason,
            Field::Actions => &mut self.actions,
            Field::Urgency => self.urgency.get_or_insert_default(),
            Field::Emergency => self.emergency.get_or_insert_default(),
        }
    }
}

/// The answer to a submission that shows what is wrong, by names of fields. An error of another name shows at `request`.
pub fn field_errors(errors: Vec<(String, String)>) -> Value {
    let names = ["request", "reason", "actions", "urgency", "emergency"];
    let mut shown = Map::new();
    for (name, message) in errors {
        let block = names.into_iter().find(|known| *known == name).unwrap_or("request");
        let message = match shown.get(block).and_then(Value::as_str) {
            Some(before) => format!("{before} {message}"),
            None => message,
        };
        shown.insert(block.to_owned(), json!(message));
    }
    json!({"response_action": "errors", "errors": shown})
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Request,
    Reason,
    Actions,
    Urgency,
    Emergency,
}

/// Labels in lower case.
const LABELS: [(&str, Field); 17] = [
    ("request", Field::Request),
    ("request id", Field::Request),
    ("request id or case number", Field::Request),
    ("request or case number", Field::Request),
    ("case number", Field::Request),
    ("ticket", Field::Request),
    ("ticket number", Field::Request),
    ("reason", Field::Reason),
    ("reason for escalation", Field::Reason),
    ("escalation reason", Field::Reason),
    ("desired actions", Field::Actions),
    ("desired action", Field::Actions),
    ("actions", Field::Actions),
    ("action", Field::Actions),
    ("urgency", Field::Urgency),
    ("emergency", Field::Emergency),
    ("is this an emergency", Field::Emergency),
];

/// Reads the message of a workflow's form: labels such as `Request:` and `*Reason for escalation:*`, each followed by its value
/// up to the next label. `None` without a request or a reason. A label that comes again is part of a value.
pub fn workflow_message(text: &str) -> Option<EscalationFields> {
    let mut fields = EscalationFields::default();
    let mut seen: Vec<Field> = Vec::new();
    for line in text.lines() {
        let found = label(line).filter(|(field, _)| !seen.contains(field));
        if let Some((field, _)) = found {
            seen.push(field);
        }
        let Some(field) = seen.last() else { continue };
        let value = fields.field(*field);
        value.push_str(found.map_or(line, |(_, value)| value));
        value.push('\n');
    }
    for field in &seen {
        let value = fields.field(*field);
        *value = plain(value).trim().to_owned();
    }
    (seen.contains(&Field::Request) && seen.contains(&Field::Reason)).then_some(fields)
}

/// The label that a line begins with, and the value behind it. The label may be bold or in italics, with the colon inside or
/// outside; a bold label that is alone on its line needs no colon.
fn label(line: &str) -> Option<(Field, &str)> {
    let line = line.trim();
    let inner = line.trim_start_matches(MARKS);
    let marks = line.len() - inner.len();
    let (name, value) = match inner.split_once(':') {
        Some(parts) => parts,
        None if marks > 0 && inner.ends_with(MARKS) => (inner, ""),
        None => return None,
    };
    let bare = name.trim_end().trim_end_matches(MARKS);
    let is_closed = bare.len() < name.trim_end().len();
    let bare = bare.trim().trim_end_matches('?').to_lowercase();
    let (_, field) = LABELS.iter().find(|(label, _)| *label == bare)?;
    // The marks that the label opened and that end behind the colon. Others belong to the value.
    let mut value = value;
    for _ in 0..if is_closed { 0 } else { marks } {
        value = value.strip_prefix(MARKS).unwrap_or(value);
    }
    Some((*field, value))
}

/// Slack's marks for bold and italics.
const MARKS: [char; 2] = ['*', '_'];

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(request: &str, reason: &str, actions: &str) -> EscalationFields {
        let [request, reason, actions] = [request, reason, actions].map(str::to_owned);
        EscalationFields { request, reason, actions, ..EscalationFields::default() }
    }

    #[test]
    fn the_form_keeps_to_the_limits_of_slack() {
        let view = modal(&"C".repeat(4000), &"1".repeat(4000));
        let length = |pointer: &str| view.pointer(pointer).unwrap().as_str().unwrap().len();
        assert!(length("/title/text") <= 24 && length("/submit/text") <= 24 && length("/close/text") <= 24);
        assert_eq!((length("/private_metadata"), length("/blocks/0/element/initial_value")), (3000, 100));
        for block in view["blocks"].as_array().unwrap() {
            assert_eq!((&block["type"], &block["label"]["type"]), (&json!("input"), &json!("plain_text")));
            assert_eq!(block["element"]["action_id"], "value");
        }
        let view = modal("C1", "");
        assert_eq!((&view["type"], &view["callback_id"]), (&json!("modal"), &json!("escalate-form")));
        assert_eq!(view["private_metadata"], "C1");
        assert_eq!(view["blocks"][0]["element"].get("initial_value"), None);
        assert_eq!(view["blocks"][3]["element"]["initial_option"]["value"], "2h");
        assert_eq!(view["blocks"][4]["optional"], true);
    }

    #[test]
    fn submissions_are_read() {
        let text = |text: Value| json!({"value": {"type": "plain_text_input", "value": text}});
        let values = json!({
            "request": text(json!(" 1001 ")), "reason": text(json!("slow\nagain")), "actions": text(Value::Null),
            "urgency": {"value": {"type": "static_select", "selected_option": {"value": "30m"}}},
            "emergency": {"value": {"type": "checkboxes", "selected_options": [{"value": "yes"}]}},
        });
        let mut expected = fields("1001", "slow\nagain", "");
        expected.urgency = Some("30m".to_owned());
        expected.emergency = Some("yes".to_owned());
        assert_eq!(EscalationFields::submitted(&values), expected);
        let values = json!({"urgency": {"value": {"selected_option": null}},
            "emergency": {"value": {"selected_options": []}}});
        assert_eq!(EscalationFields::submitted(&values), EscalationFields::default());
    }

    #[test]
    fn errors_name_blocks_of_the_form() {
        let error = |name: &str, message: &str| (name.to_owned(), message.to_owned());
        for (errors, shown) in [
            (vec![error("reason", "Say why.")], json!({"reason": "Say why."})),
            (
                vec![error("ticket", "Unknown."), error("urgency", "No."), error("request", "Try again.")],
                json!({"request": "Unknown. Try again.", "urgency": "No."}),
            ),
        ] {
            let answer = json!({"response_action": "errors", "errors": shown});
            assert_eq!(field_errors(errors), answer);
        }
    }

    #[test]
    fn workflow_messages_are_read() {
        for (text, found) in [
            ("Request: 1001\nReason: slow", Some(fields("1001", "slow", ""))),
            (
                "New form from <@U1>\n*Request ID or case number*: T1\n*Reason for escalation:* a\nb\n\nc\n_Actions_: call us",
                Some(fields("T1", "a\nb\n\nc", "call us")),
            ),
            (
                "CASE NUMBER:\nT1\nreason:\n*urgent*\nDesired Actions: *call*",
                Some(fields("T1", "*urgent*", "*call*")),
            ),
            ("*Ticket*\n1001\n*Reason*\nslow", Some(fields("1001", "slow", ""))),
            (
                "*_Ticket:_* *1001*\nReason : a &lt;b&gt; &amp; c: d",
                Some(fields("*1001*", "a <b> & c: d", "")),
            ),
            (
                "Request: <tel:123456789|123456789>\nReason: see <https://x.example|log>",
                Some(fields("123456789", "see log (https://x.example)", "")),
            ),
            (
                "Request: 1\nReason: a\nRequest: 2\nReason\nActions taken: none",
                Some(fields("1", "a\nRequest: 2\nReason\nActions taken: none", "")),
            ),
            ("Request:\nReason:", Some(fields("", "", ""))),
            ("Request: 1001", None),
            ("Reason: slow", None),
            ("The reason: slow\nMy request: 1001", None),
            ("hello", None),
            ("", None),
        ] {
            assert_eq!(workflow_message(text), found, "{text:?}");
        }
        let found = workflow_message("Urgency: 1h\nEmergency?: No\nRequest: 1\nReason: x").unwrap();
        assert_eq!((found.urgency.as_deref(), found.emergency.as_deref()), (Some("1h"), Some("No")));
    }
}
