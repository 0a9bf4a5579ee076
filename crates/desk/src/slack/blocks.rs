//! The text of a message that has it in blocks only. Pure.

use serde_json::Value;

/// How deep lists and quotes are followed.
const DEPTH_MAX: usize = 8;

/// The text of `rich_text`, `section` and `header` blocks, one line a paragraph, escaped like the `text` of a message.
pub(super) fn text(blocks: &Value) -> String {
    let mut lines = Vec::new();
    for block in items(blocks) {
        match block.get("type").and_then(Value::as_str) {
            Some("rich_text") => rich(block, 0, &mut lines),
            Some("section" | "header") => {
                let fields = block.get("fields").map(items).unwrap_or_default();
                let texts = block.get("text").into_iter().chain(fields);
                lines.extend(texts.map(written));
            }
            _ => {}
        }
    }
    lines.join("\n").trim().to_owned()
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A text object. Only the kind with markup comes escaped.
fn written(object: &Value) -> String {
    let text = object.get("text").and_then(Value::as_str).unwrap_or_default();
    if object.get("type").is_some_and(|kind| kind == "mrkdwn") { text.to_owned() } else { escaped(text) }
}

/// Sections, lists, quotes and code of a rich text: each that holds words is a line.
fn rich(block: &Value, depth: usize, lines: &mut Vec<String>) {
    let elements = block.get("elements").map(items).unwrap_or_default();
    let is_outer = |element: &Value| element.get("elements").is_some();
    if elements.iter().any(is_outer) && depth < DEPTH_MAX {
        elements.iter().for_each(|element| rich(element, depth + 1, lines));
    } else {
        let line: String = elements.iter().map(word).collect();
        lines.push(line.trim_end_matches('\n').to_owned());
    }
}

fn word(element: &Value) -> String {
    let field = |name: &str| element.get(name).and_then(Value::as_str).unwrap_or_default();
    match field("type") {
        "link" if field("text").is_empty() => escaped(field("url")),
        "link" => format!("<{}|{}>", escaped(field("url")), escaped(field("text"))),
        "user" => format!("<@{}>", field("user_id")),
        "emoji" => format!(":{}:", field("name")),
        _ => escaped(field("text")),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_collected_from_blocks() {
        let section = |elements: Value| json!({"type": "rich_text_section", "elements": elements});
        let rich = |elements: Value| json!([{"type": "rich_text", "elements": elements}]);
        let text_of = |text: &str| json!({"type": "text", "text": text});
        for (blocks, found) in [
            (
                rich(json!([section(json!([
                    text_of("Request: "),
                    text_of("1001\n"),
                    text_of("Reason: a < b")
                ]))])),
                "Request: 1001\nReason: a &lt; b",
            ),
            (
                rich(json!([section(json!([text_of("a\n")])), {"type": "rich_text_list", "elements": [
                section(json!([text_of("b")])), section(json!([text_of("c")]))]}])),
                "a\nb\nc",
            ),
            (rich(json!([{"type": "rich_text_preformatted", "elements": [text_of("code")]}])), "code"),
            (
                rich(json!([section(json!([{"type": "link", "url": "https://x.example", "text": "log"},
                {"type": "user", "user_id": "U1"}, {"type": "link", "url": "https://y.example?a&b"}]))])),
                "<https://x.example|log><@U1>https://y.example?a&amp;b",
            ),
            (
                json!([{"type": "section", "text": {"type": "mrkdwn", "text": "*Request:* &lt;"}},
                {"type": "divider"}, {"type": "section", "fields": [{"type": "plain_text", "text": "a & b"}]}]),
                "*Request:* &lt;\na &amp; b",
            ),
            (json!([]), ""),
            (json!("no list"), ""),
        ] {
            assert_eq!(text(&blocks), found, "{blocks}");
        }
    }
}
