//! The metadata stored with an object. Header values must be ASCII, so the file name is percent-encoded.

use bucket::Metadata;
use ledger::Upload;

/// Who sent the object, for which ticket, and its SHA-256 where that is known before the object is written.
pub(crate) fn of_object(upload: &Upload, sha256: Option<&str>) -> Metadata {
    let mut metadata = vec![
        ("upload-id", upload.id.clone()),
        ("partner", upload.partner_id.clone()),
        ("ticket", upload.ticket.clone()),
        ("name", percent_encoded(&upload.name)),
        ("uploader", format!("link:{}", upload.link_id)),
    ];
    metadata.extend(sha256.map(|digest| ("sha256", digest.to_owned())));
    metadata
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
