//! The receipt: what a sender, support and other programs are told of an upload. Always the ledger's current truth.

use ledger::{Destination, State, Upload};
use serde_json::Value;

/// The receipt's fields as the interface lists them; an unfinished upload has `state`, `offset` and `length` beside them,
/// and neither size nor digest.
pub(crate) fn json(upload: &Upload) -> Value {
    let mut receipt = delivery::receipt(upload);
    if upload.state != State::Complete {
        receipt["size"] = Value::Null;
        receipt["sha256"] = Value::Null;
        receipt["state"] = upload.state.name().into();
        receipt["offset"] = upload.offset.into();
        receipt["length"] = upload.length.into();
    }
    receipt
}

/// The receipt for a terminal.
pub(crate) fn text(upload: &Upload, location: &str) -> String {
    if upload.state != State::Complete {
        let of = upload.length.map(|length| format!(" of {length}")).unwrap_or_default();
        return format!("{}: {}{of} bytes so far\n", upload.name, upload.offset);
    }
    let size = size(upload).unwrap_or_default();
    // `curl -T DIRECTORY` sends nothing and says so to nobody.
    let empty = if size == 0 {
        "The file is empty. To send a directory: tar cz DIRECTORY | curl -T - …\n"
    } else {
        ""
    };
    let differs = differs(upload).map(|differs| format!("{differs}.\n")).unwrap_or_default();
    format!(
        "{}, {size} bytes\nSHA-256 {}\n{}\n{empty}{differs}Receipt {location}\n",
        upload.name,
        upload.sha256.as_deref().unwrap_or_default(),
        place(upload),
    )
}

/// That it is not what its side file says, from algorithm, digest announced and digest of the file.
fn differs(upload: &Upload) -> Option<String> {
    let mut words = upload.mismatch.as_deref()?.split(' ');
    let (algorithm, announced, actual) = (words.next()?, words.next()?, words.next()?);
    Some(format!(
        "It is kept, but it is not what its side file says: {algorithm} {announced} there, {actual} here. Send both again"
    ))
}

/// Where it belongs, in words, and what is wrong with it: the sentence of a page.
pub(crate) fn sentence(upload: &Upload) -> String {
    match differs(upload) {
        Some(differs) => format!("{}. {differs}", place(upload)),
        None => place(upload),
    }
}

/// Where it belongs and on which ticket, in words.
pub(crate) fn place(upload: &Upload) -> String {
    let ticket = &upload.ticket;
    match upload.destination {
        Some(Destination::TicketAttachment) => format!("for ticket {ticket}, as an attachment"),
        Some(Destination::SupportUploader) => format!("for ticket {ticket}, in the Support Uploader"),
        Some(Destination::PartnerBucket) => format!("for ticket {ticket}, in your organisation's bucket"),
        None => format!("for ticket {ticket}"),
    }
}

/// Bytes of a complete upload.
pub(crate) fn size(upload: &Upload) -> Option<i64> {
    upload.length.filter(|_| upload.state == State::Complete)
}
