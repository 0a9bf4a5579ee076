//! Whether Slack would open a view: a form of input blocks, against the documented limits.
//!
//! Invariant: only what the gateway sends is known here; anything else is refused, so that a test sees it.

use serde_json::Value;

use super::check::{
    Checked, ID_CHARS_MAX, blocks, fields, kind, message_block, optional_text, text, text_object,
};

const BLOCKS_MAX: usize = 100;
/// Title, submit and close.
const TITLE_CHARS_MAX: usize = 24;
const METADATA_CHARS_MAX: usize = 3000;
const LABEL_CHARS_MAX: usize = 2000;
const TYPED_CHARS_MAX: usize = 3000;
const PLACEHOLDER_CHARS_MAX: usize = 150;
const OPTION_CHARS_MAX: usize = 75;
const OPTION_VALUE_CHARS_MAX: usize = 150;
/// Of a menu, and of boxes to check.
const OPTIONS_MAX: usize = 100;
const BOXES_MAX: usize = 10;

const PLAIN: &[&str] = &["plain_text"];

/// `view` of `views.open`.
pub(super) fn modal(view: &Value) -> Checked {
    let known = [
        "type",
        "title",
        "blocks",
        "close",
        "submit",
        "private_metadata",
        "callback_id",
        "clear_on_close",
        "notify_on_close",
        "external_id",
    ];
    fields(view, "view", &known)?;
    if kind(view) != "modal" {
        return Err("the view must be of type modal".to_owned());
    }
    text_object(view, "title", PLAIN, TITLE_CHARS_MAX)?;
    optional_text_object(view, "close", TITLE_CHARS_MAX)?;
    optional_text_object(view, "submit", TITLE_CHARS_MAX)?;
    optional_text(view, "private_metadata", METADATA_CHARS_MAX)?;
    optional_text(view, "callback_id", ID_CHARS_MAX)?;
    let found = view.get("blocks").ok_or("blocks are missing")?;
    blocks(
        found,
        BLOCKS_MAX,
        |block| if kind(block) == "input" { input(block) } else { message_block(block) },
    )?;
    let has_input = found.as_array().is_some_and(|blocks| blocks.iter().any(|block| kind(block) == "input"));
    if has_input && view.get("submit").is_none() {
        return Err("a view with an input needs submit".to_owned());
    }
    Ok(())
}

fn input(block: &Value) -> Checked {
    let known = ["type", "block_id", "label", "element", "hint", "optional", "dispatch_action"];
    fields(block, "input", &known)?;
    text_object(block, "label", PLAIN, LABEL_CHARS_MAX)?;
    optional_text_object(block, "hint", LABEL_CHARS_MAX)?;
    flag(block, "optional")?;
    let element = block.get("element").ok_or("element is missing")?;
    optional_text(element, "action_id", ID_CHARS_MAX)?;
    optional_text_object(element, "placeholder", PLACEHOLDER_CHARS_MAX)?;
    match kind(element) {
        "plain_text_input" => typed(element),
        "static_select" => {
            fields(
                element,
                "static_select",
                &["type", "action_id", "placeholder", "options", "initial_option"],
            )?;
            let chosen = element.get("initial_option").into_iter().collect();
            options(element, OPTIONS_MAX, chosen)
        }
        "checkboxes" => {
            fields(element, "checkboxes", &["type", "action_id", "options", "initial_options"])?;
            let checked = element.get("initial_options").and_then(Value::as_array);
            options(element, BOXES_MAX, checked.into_iter().flatten().collect())
        }
        other => Err(format!("unsupported element: {other:?}")),
    }
}

fn typed(element: &Value) -> Checked {
    let known =
        ["type", "action_id", "placeholder", "initial_value", "multiline", "min_length", "max_length"];
    fields(element, "plain_text_input", &known)?;
    optional_text(element, "initial_value", TYPED_CHARS_MAX)?;
    flag(element, "multiline")?;
    for field in ["min_length", "max_length"] {
        let length = element.get(field).map(|length| length.as_u64().unwrap_or(u64::MAX));
        if length.is_some_and(|length| length > TYPED_CHARS_MAX as u64) {
            return Err(format!("{field} must be at most {TYPED_CHARS_MAX}"));
        }
    }
    Ok(())
}

/// The options of a menu, with those that are chosen at first among them.
fn options(element: &Value, most: usize, chosen: Vec<&Value>) -> Checked {
    let options = element.get("options").and_then(Value::as_array).ok_or("options are missing")?;
    if options.is_empty() || options.len() > most {
        return Err(format!("there must be 1 to {most} options"));
    }
    for option in options {
        fields(option, "option", &["text", "value", "description"])?;
        let kinds = if most == BOXES_MAX { &["plain_text", "mrkdwn"][..] } else { PLAIN };
        text_object(option, "text", kinds, OPTION_CHARS_MAX)?;
        text(option, "value", 1, OPTION_VALUE_CHARS_MAX)?;
    }
    if chosen.into_iter().all(|chosen| options.contains(chosen)) {
        Ok(())
    } else {
        Err("what is chosen at first must be one of the options".to_owned())
    }
}

fn optional_text_object(value: &Value, field: &str, most: usize) -> Checked {
    if value.get(field).is_none() { Ok(()) } else { text_object(value, field, PLAIN, most) }
}

fn flag(value: &Value, field: &str) -> Checked {
    if value.get(field).is_none_or(Value::is_boolean) {
        Ok(())
    } else {
        Err(format!("{field} must be a flag"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view() -> Value {
        let label = json!({"type": "plain_text", "text": "Label"});
        let option = json!({"text": {"type": "plain_text", "text": "2 h"}, "value": "2h"});
        json!({"type": "modal", "callback_id": "c", "private_metadata": "C1", "title": label, "submit": label, "blocks": [
            {"type": "input", "block_id": "a", "label": label, "optional": true,
                "element": {"type": "plain_text_input", "action_id": "v", "multiline": true, "max_length": 3000}},
            {"type": "input", "block_id": "b", "label": label,
                "element": {"type": "static_select", "action_id": "v", "options": [option], "initial_option": option}},
            {"type": "input", "block_id": "c", "label": label,
                "element": {"type": "checkboxes", "action_id": "v", "options": [option]}},
        ]})
    }

    #[test]
    fn views_keep_to_the_limits() {
        modal(&view()).unwrap();
        let label = |length: usize| json!({"type": "plain_text", "text": "x".repeat(length)});
        let cases = [
            ("/type", json!("home"), "type modal"),
            ("/title", label(25), "1 to 24 characters"),
            ("/title", Value::Null, "title must be an object"),
            ("/submit", label(25), "1 to 24 characters"),
            ("/private_metadata", json!("x".repeat(3001)), "0 to 3000 characters"),
            ("/callback_id", json!("x".repeat(256)), "0 to 255 characters"),
            ("/blocks", json!([]), "1 to 100 blocks"),
            ("/blocks", json!(vec![json!({"type": "divider"}); 101]), "1 to 100 blocks"),
            ("/blocks/1/block_id", json!("a"), "unique"),
            ("/blocks/0/label", json!("Label"), "label must be an object"),
            ("/blocks/0/label/type", json!("mrkdwn"), "of type plain_text"),
            ("/blocks/0/optional", json!("yes"), "must be a flag"),
            ("/blocks/0/element", json!({"type": "button"}), "unsupported element"),
            ("/blocks/0/element/max_length", json!(3001), "at most 3000"),
            ("/blocks/1/element/options", json!([]), "1 to 100 options"),
            ("/blocks/1/element/initial_option", json!({"value": "3h"}), "one of the options"),
            ("/blocks/2/element/options/0/text", label(76), "1 to 75 characters"),
            ("/blocks/2/element/options/0/value", json!("x".repeat(151)), "1 to 150 characters"),
        ];
        for (pointer, value, part) in cases {
            let mut view = view();
            *view.pointer_mut(pointer).unwrap() = value;
            let error = modal(&view).expect_err(pointer);
            assert!(error.contains(part), "{pointer}: {error}");
        }
        let mut no_submit = view();
        no_submit.as_object_mut().unwrap().remove("submit");
        assert!(modal(&no_submit).unwrap_err().contains("needs submit"));
        let mut extra = view();
        extra["more"] = json!(1);
        assert!(modal(&extra).unwrap_err().contains("no field more"));
    }
}
