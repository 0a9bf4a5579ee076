//! Tells by a part's headers whether it is a text field, a file, or something that cannot be stored as it is. Pure.
//! Invariant: whatever is not a text field is a file or is refused; nothing is skipped.

use super::multipart::Headers;
use crate::headers::{self, parameter};
use crate::problem::{self, Problem};

#[derive(Debug)]
pub(super) enum Kind {
    /// The text of a field.
    Text { field: String },
    /// A file, with the name and media type that its sender gave.
    File { named: Option<String>, content_type: Option<String> },
    /// Something else: what to call it, and why it is not stored.
    Refused { named: String, problem: Problem },
}

pub(super) fn kind(headers: &Headers) -> Kind {
    let text = |name: &str| headers.all(name).next().map(|value| String::from_utf8_lossy(value).into_owned());
    let content_type = text("content-type");
    let field = text("content-disposition").and_then(|value| parameter(&value, "name"));
    let disposition = headers.all("content-disposition").next();
    let named = match disposition.map(headers::disposition_filename).transpose() {
        Ok(named) => named.flatten(),
        Err(not_utf8) => return Kind::Refused { named: not_utf8.0.clone(), problem: not_utf8.into() },
    };
    // Mail programs name a file here, too.
    let named = named.or_else(|| parameter(content_type.as_deref()?, "name"));
    let called = || named.clone().or(field.clone()).unwrap_or_default();
    if let Some(coding) = coding(headers) {
        let why = format!(
            "This part is encoded (`{coding}`) and would be stored that way. Send the bytes as they are, without that header."
        );
        return Kind::Refused { named: called(), problem: problem::encoded(&why) };
    }
    let essence = content_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    if named.is_none() && essence.starts_with("multipart/") {
        let why = "This part contains parts of its own, which this server does not unpack. Send each file as a part of the form \
                   itself: `-F file=@ONE -F file=@TWO`.";
        return Kind::Refused { named: called(), problem: problem::encoded(why) };
    }
    match (named, field) {
        (None, Some(field)) if essence.is_empty() || essence == "text/plain" => Kind::Text { field },
        (named, _) => Kind::File { named, content_type },
    }
}

/// The header, if any, by which a part's bytes are not the file's.
fn coding(headers: &Headers) -> Option<String> {
    let plain: [(&str, &[&str]); 2] =
        [("Content-Transfer-Encoding", &["binary", "7bit", "8bit"]), ("Content-Encoding", &["identity"])];
    plain.into_iter().find_map(|(name, plain)| {
        let is_plain = |value: &&[u8]| plain.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()));
        let coded = headers.all(name).find(|value| !is_plain(value))?;
        let shown: String = String::from_utf8_lossy(coded).chars().take(40).collect();
        Some(format!("{name}: {shown}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In short.
    fn read(lines: &[(&str, &str)]) -> String {
        let headers = Headers::from_iter(lines.iter().map(|(name, value)| (*name, value.as_bytes())));
        match kind(&headers) {
            Kind::Text { field } => format!("text {field}"),
            Kind::File { named, content_type } => format!("file {named:?} {content_type:?}"),
            Kind::Refused { named, problem } => format!("{} {named}", problem.status.as_u16()),
        }
    }

    #[test]
    fn parts() {
        const FIELD: (&str, &str) = ("Content-Disposition", "form-data; name=\"f\"");
        const FILE: (&str, &str) = ("content-disposition", "form-data; name=\"f\"; filename=\"a.log\"");
        let typed = |text| ("Content-Type", text);
        let coded = |text| ("Content-Transfer-Encoding", text);
        for (lines, expected) in [
            (vec![FIELD], "text f"),
            (vec![FIELD, typed("text/plain; charset=utf-8")], "text f"),
            (vec![FIELD, typed("Text/Plain")], "text f"),
            (vec![FILE], "file Some(\"a.log\") None"),
            (vec![FILE, typed("text/plain")], "file Some(\"a.log\") Some(\"text/plain\")"),
            (
                vec![FILE, typed("multipart/related; boundary=x")],
                "file Some(\"a.log\") Some(\"multipart/related; boundary=x\")",
            ),
            (vec![FIELD, typed("application/zip")], "file None Some(\"application/zip\")"),
            (vec![FIELD, typed("text/csv")], "file None Some(\"text/csv\")"),
            (
                vec![FIELD, typed("text/plain; name=\"b.log\"")],
                "file Some(\"b.log\") Some(\"text/plain; name=\\\"b.log\\\"\")",
            ),
            (vec![], "file None None"),
            (vec![("Content-Disposition", "attachment")], "file None None"),
            (
                vec![("Content-Disposition", "form-data; filename*0=a; filename*1=.log")],
                "file Some(\"a.log\") None",
            ),
            (vec![("Content-Disposition", "form-data; name=f; filename*=UTF-8''%ff")], "400 \u{fffd}"),
            (vec![FIELD, typed("multipart/mixed; boundary=x")], "415 f"),
            (vec![FIELD, typed("Multipart/Digest")], "415 f"),
            (vec![typed("multipart/mixed; boundary=x")], "415 "),
            (vec![FILE, coded("BINARY")], "file Some(\"a.log\") None"),
            (vec![FILE, coded("7bit"), coded("8bit")], "file Some(\"a.log\") None"),
            (vec![FILE, coded("base64")], "415 a.log"),
            (vec![FILE, coded("8bit"), coded("quoted-printable")], "415 a.log"),
            (vec![FILE, coded("")], "415 a.log"),
            (vec![FIELD, coded("base64")], "415 f"),
            (vec![FILE, ("Content-Encoding", "gzip")], "415 a.log"),
            (vec![FILE, ("Content-Encoding", "identity")], "file Some(\"a.log\") None"),
        ] {
            assert_eq!(read(&lines), expected, "{lines:?}");
        }
    }
}
