//! What people read about an upload: what the ledger says now, in words. And pages of receipts.

use ledger::{Destination, State, Upload};

use crate::answers;
use crate::problem::{self, Problem};

/// The receipt for a terminal.
pub(crate) fn text(upload: &Upload, location: &str) -> String {
    if upload.state != State::Complete {
        let of = upload.length.map(|length| format!(" of {length}")).unwrap_or_default();
        return format!("{}: {}{of} bytes so far\n", upload.name, upload.offset);
    }
    let size = size(upload).unwrap_or_default();
    // `curl -T DIRECTORY` sends nothing and reports no error.
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

/// That the file does not match its side file. The ledger has algorithm, announced and actual digest.
fn differs(upload: &Upload) -> Option<String> {
    let mut words = upload.mismatch.as_deref()?.split(' ');
    let (algorithm, announced, actual) = (words.next()?, words.next()?, words.next()?);
    Some(format!(
        "The file is kept but does not match its side file: {algorithm} {announced} expected, {actual} received. Send both again"
    ))
}

/// Where the file goes, and what is wrong with it.
pub(crate) fn sentence(upload: &Upload) -> String {
    match differs(upload) {
        Some(differs) => format!("{}. {differs}", place(upload)),
        None => place(upload),
    }
}

/// Where the file goes.
fn place(upload: &Upload) -> String {
    let ticket = &upload.ticket;
    match upload.destination {
        Some(Destination::TicketAttachment) => format!("for ticket {ticket}, as an attachment"),
        Some(Destination::SupportUploader) => format!("for ticket {ticket}, in the Support Uploader"),
        Some(Destination::PartnerBucket) => format!("for ticket {ticket}, in your organisation's bucket"),
        None => format!("for ticket {ticket}"),
    }
}

/// Bytes of a complete upload.
pub(crate) fn size(upload: &Upload) -> Option<u64> {
    upload.length.filter(|_| upload.state == State::Complete).and_then(|length| u64::try_from(length).ok())
}

/// Uploads on one page of a list.
pub(crate) const PAGE_UPLOADS: i64 = 200;

/// The cursor of a list, if it can be one of ours: the id of an upload.
pub(crate) fn page_cursor(text: &str) -> Result<String, Problem> {
    let why = "`cursor` is not from this list. Use `next_cursor` of the page before, or leave it out.";
    if ledger::is_id(text) { Ok(text.to_owned()) } else { Err(problem::bad_request(why)) }
}

/// Receipts, and the cursor of the next page if there may be one.
pub(crate) fn page(uploads: &[Upload]) -> api::UploadPage {
    let is_full = i64::try_from(uploads.len()).is_ok_and(|count| count >= PAGE_UPLOADS);
    let next_cursor = uploads.last().filter(|_| is_full).map(|upload| upload.id.clone());
    api::UploadPage { uploads: uploads.iter().map(answers::receipt).collect(), next_cursor }
}
