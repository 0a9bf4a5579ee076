//! Whether Slack would take a message: its blocks and its metadata, against the documented limits.
//!
//! Invariant: only what the gateway sends is known here; anything else is refused, so that a test sees it.

use serde_json::Value;

/// What is wrong, in words.
pub(super) type Checked = Result<(), String>;

/// Blocks of a message, and of a view.
pub(super) const MESSAGE_BLOCKS_MAX: usize = 50;
const SECTION_CHARS_MAX: usize = 3000;
const BUTTONS_MAX: usize = 25;
const BUTTON_CHARS_MAX: usize = 75;
const URL_CHARS_MAX: usize = 3000;
const VALUE_CHARS_MAX: usize = 2000;
/// Block IDs, action IDs and callback IDs.
pub(super) const ID_CHARS_MAX: usize = 255;

/// `metadata` of a message.
pub(super) fn metadata(metadata: &Value) -> Checked {
    fields(metadata, "metadata", &["event_type", "event_payload"])?;
    text(metadata, "event_type", 1, ID_CHARS_MAX)?;
    match metadata.get("event_payload") {
        Some(payload) if payload.is_object() => Ok(()),
        _ => Err("event_payload must be an object".to_owned()),
    }
}

/// `blocks`, of which each is one of these kinds.
pub(super) fn blocks(blocks: &Value, most: usize, block: impl Fn(&Value) -> Checked) -> Checked {
    let blocks = blocks.as_array().ok_or("blocks must be an array")?;
    if blocks.is_empty() || blocks.len() > most {
        return Err(format!("there must be 1 to {most} blocks"));
    }
    let mut ids: Vec<&str> = blocks.iter().filter_map(|block| block.get("block_id")?.as_str()).collect();
    let given = ids.len();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() < given {
        return Err("every block_id must be unique".to_owned());
    }
    blocks.iter().try_for_each(|found| {
        optional_text(found, "block_id", ID_CHARS_MAX)?;
        block(found)
    })
}

/// A block of a message.
pub(super) fn message_block(block: &Value) -> Checked {
    match kind(block) {
        "section" => {
            fields(block, "section", &["type", "block_id", "text"])?;
            text_object(block, "text", &["mrkdwn", "plain_text"], SECTION_CHARS_MAX)
        }
        "divider" => fields(block, "divider", &["type", "block_id"]),
        "actions" => {
            fields(block, "actions", &["type", "block_id", "elements"])?;
            let elements = block.get("elements").and_then(Value::as_array).ok_or("actions need elements")?;
            if elements.is_empty() || elements.len() > BUTTONS_MAX {
                return Err(format!("there must be 1 to {BUTTONS_MAX} elements"));
            }
            elements.iter().try_for_each(button)
        }
        other => Err(format!("unsupported type: {other:?}")),
    }
}

fn button(element: &Value) -> Checked {
    if kind(element) != "button" {
        return Err(format!("unsupported element: {:?}", kind(element)));
    }
    fields(element, "button", &["type", "text", "action_id", "url", "value", "style"])?;
    text_object(element, "text", &["plain_text"], BUTTON_CHARS_MAX)?;
    optional_text(element, "action_id", ID_CHARS_MAX)?;
    optional_text(element, "url", URL_CHARS_MAX)?;
    optional_text(element, "value", VALUE_CHARS_MAX)
}

pub(super) fn kind(value: &Value) -> &str {
    value.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// Refuses other fields than these.
pub(super) fn fields(value: &Value, what: &str, known: &[&str]) -> Checked {
    let object = value.as_object().ok_or_else(|| format!("{what} must be an object"))?;
    let unknown = object.keys().find(|key| !known.contains(&key.as_str()));
    unknown.map_or(Ok(()), |key| Err(format!("{what} has no field {key}")))
}

/// A text of a length between these, in characters.
pub(super) fn text(value: &Value, field: &str, least: usize, most: usize) -> Checked {
    let found = value.get(field).and_then(Value::as_str).ok_or_else(|| format!("{field} must be a text"))?;
    if (least..=most).contains(&found.chars().count()) {
        Ok(())
    } else {
        Err(format!("{field} must have {least} to {most} characters"))
    }
}

pub(super) fn optional_text(value: &Value, field: &str, most: usize) -> Checked {
    if value.get(field).is_none() { Ok(()) } else { text(value, field, 0, most) }
}

/// `{"type": "plain_text", "text": …}` or the same with `mrkdwn`.
pub(super) fn text_object(value: &Value, field: &str, kinds: &[&str], most: usize) -> Checked {
    let object = value.get(field).ok_or_else(|| format!("{field} is missing"))?;
    fields(object, field, &["type", "text", "emoji", "verbatim"])?;
    if !kinds.contains(&kind(object)) {
        return Err(format!("{field} must be of type {}", kinds.join(" or ")));
    }
    text(object, "text", 1, most)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blocks_of_a_message() {
        let section = |text: &str| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
        let label = |text: &str| json!({"type": "plain_text", "text": text});
        let actions = |button: Value| json!([{"type": "actions", "elements": [button]}]);
        let cases = [
            (json!([section("x")]), ""),
            (json!([section("x"), {"type": "divider"}]), ""),
            (actions(json!({"type": "button", "text": label("Open"), "url": "https://x.example"})), ""),
            (actions(json!({"type": "button", "text": label("Go"), "action_id": "go", "value": "1"})), ""),
            (json!([]), "1 to 50 blocks"),
            (json!({}), "must be an array"),
            (json!(vec![section("x"); 51]), "1 to 50 blocks"),
            (json!([section("")]), "1 to 3000 characters"),
            (json!([section(&"x".repeat(3001))]), "1 to 3000 characters"),
            (json!([{"type": "section"}]), "text is missing"),
            (json!([{"type": "section", "text": "x"}]), "text must be an object"),
            (json!([{"type": "input"}]), "unsupported type"),
            (json!([{"type": "divider", "color": "red"}]), "no field color"),
            (json!([{"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "a"}]), "unique"),
            (json!([{"type": "actions", "elements": []}]), "1 to 25 elements"),
            (actions(json!({"type": "button", "text": label(&"x".repeat(76))})), "1 to 75 characters"),
            (
                actions(json!({"type": "button", "text": {"type": "mrkdwn", "text": "x"}})),
                "of type plain_text",
            ),
            (actions(json!({"type": "button", "text": label("x"), "value": 1})), "value must be a text"),
            (actions(json!({"type": "overflow"})), "unsupported element"),
        ];
        for (value, part) in cases {
            let checked = blocks(&value, MESSAGE_BLOCKS_MAX, message_block);
            assert_eq!(checked.is_ok(), part.is_empty(), "{value}: {checked:?}");
            assert!(checked.err().unwrap_or_default().contains(part), "{value}");
        }
    }

    #[test]
    fn metadata_of_a_message() {
        for (value, ok) in [
            (json!({"event_type": "x", "event_payload": {"id": "1"}}), true),
            (json!({"event_type": "x", "event_payload": {}}), true),
            (json!({"event_type": "x"}), false),
            (json!({"event_type": "", "event_payload": {}}), false),
            (json!({"event_type": "x", "event_payload": "1"}), false),
            (json!({"event_type": "x", "event_payload": {}, "more": 1}), false),
            (json!("x"), false),
        ] {
            assert_eq!(metadata(&value).is_ok(), ok, "{value}");
        }
    }
}
