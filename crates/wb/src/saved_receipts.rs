//! Receipts that a sender has saved, as JSON or as the short text that curl prints.

use api::Receipt;
use serde_json::Value;

use crate::checksum::is_sha256;

/// Parses saved receipts: JSON objects, the answer to a form, or text. Empty if there is none.
pub(crate) fn parse(text: &str) -> Vec<Receipt> {
    let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    match values {
        Ok(values) => values
            .into_iter()
            .flat_map(|mut value| match value.get_mut("uploads").map(Value::take) {
                Some(Value::Array(uploads)) => uploads,
                _ => vec![value],
            })
            // The answer to a form may contain problems, too.
            .filter_map(|value| serde_json::from_value(value).ok())
            .collect(),
        Err(_) => from_text(text),
    }
}

/// `NAME, SIZE bytes`, and `SHA-256 DIGEST` on the next line; `for ticket TICKET, …` and `Receipt …/ID` may follow.
fn from_text(text: &str) -> Vec<Receipt> {
    let mut found: Vec<Receipt> = Vec::new();
    let mut before = "";
    for line in text.lines().map(str::trim_end) {
        if let (Some((name, size)), Some(sha256)) = (name_and_size(before), digest(line)) {
            found.push(Receipt {
                name: name.to_owned(),
                size: Some(size),
                sha256: Some(sha256.to_owned()),
                ..Receipt::default()
            });
        } else if let Some(receipt) = found.last_mut() {
            if let Some(location) = line.strip_prefix("Receipt ") {
                receipt.id = location.rsplit('/').next().unwrap_or_default().to_owned();
            } else if let Some(place) = line.strip_prefix("for ticket ") {
                receipt.ticket = place.split(',').next().map(str::to_owned);
            }
        }
        before = line;
    }
    found
}

fn name_and_size(line: &str) -> Option<(&str, u64)> {
    let (name, size) = line.strip_suffix(" bytes")?.rsplit_once(", ")?;
    Some((name, size.parse().ok()?))
}

fn digest(line: &str) -> Option<&str> {
    line.strip_prefix("SHA-256 ").filter(|digest| is_sha256(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(String, Option<u64>, String)> {
        let one = |receipt: Receipt| (receipt.id, receipt.size, receipt.name);
        parse(text).into_iter().map(one).collect()
    }

    #[test]
    fn receipts_are_found_in_json_and_text() {
        let digest = "ab".repeat(32);
        let first =
            format!("a, 2 bytes, b.log, 12 bytes\nSHA-256 {digest}\nfor ticket 1001, as an attachment\n");
        let first = format!("{first}Receipt https://host/u/T/uploads/01A\n");
        let second =
            format!("b.log, 0 bytes\r\nSHA-256 {digest}\r\nReceipt https://host/u/T/uploads/01B\r\n");
        let of_a = ("01A".to_owned(), Some(12), "a, 2 bytes, b.log".to_owned());
        let of_b = ("01B".to_owned(), Some(0), "b.log".to_owned());
        assert_eq!(shown(&first), std::slice::from_ref(&of_a));
        assert_eq!(parse(&first)[0].ticket.as_deref(), Some("1001"));
        assert_eq!(parse(&first)[0].sha256.as_deref(), Some(digest.as_str()));
        assert_eq!(shown(&format!("{first}\n{second}")), [of_a, of_b]);

        let json = |id: &str| {
            format!("{{\"id\": \"{id}\", \"name\": \"n\", \"size\": 1, \"sha256\": \"{digest}\"}}")
        };
        let (a, b) = (json("01A"), json("01B"));
        for (text, ids) in [
            (a.clone(), vec!["01A"]),
            (format!("{a}\n{b}\n"), vec!["01A", "01B"]),
            (format!("{{\"uploads\": [{a}, {{\"status\": 413}}, {b}]}}"), vec!["01A", "01B"]),
            ("{\"type\": \"/problems/too-large\", \"status\": 413}".to_owned(), vec![]),
            ("{".to_owned(), vec![]),
            (String::new(), vec![]),
            (format!("SHA-256 {digest}\n"), vec![]),
            ("a.log, 1 bytes\nSHA-256 abc\n".to_owned(), vec![]),
            (format!("a.log, many bytes\nSHA-256 {digest}\n"), vec![]),
        ] {
            let found: Vec<_> = parse(&text).into_iter().map(|receipt| receipt.id).collect();
            assert_eq!(found, ids, "{text}");
        }
    }
}
