//! The text of a note, and how to find it again. Pure.
//! Invariant: a marker is a line of its own, `ref: UPLOAD_ID`. A stranger's text is escaped and never begins a line, so no
//! file name can forge a marker.

use desk::escape;
use ledger::{Destination, Upload};

use crate::{mismatch_comment, words};

const MARKER: &str = "ref: ";
const ATTACHED: &str = "Where: attached to this comment";

/// One file in a note.
pub(super) struct NotedFile<'a> {
    pub(super) upload: &'a Upload,
    pub(super) destination: Destination,
    /// The name of its bucket.
    pub(super) bucket: &'a str,
    /// What support asked for that it is.
    pub(super) asked: Option<&'a str>,
}

/// A public note omits what only support staff can use.
pub(super) fn text(entries: &[NotedFile<'_>], public_url: &str, public: bool) -> String {
    let mut text = match entries.len() {
        1 => "**1 file received**\n".to_owned(),
        count => format!("**{count} files received**\n"),
    };
    for entry in entries {
        section(&mut text, entry, public_url.trim_end_matches('/'), public);
    }
    text
}

fn section(text: &mut String, entry: &NotedFile<'_>, public_url: &str, public: bool) {
    let NotedFile { upload, destination, bucket, asked } = entry;
    let id = &upload.id;
    let object = || format!("`s3://{bucket}/{}", escape(&upload.object_key).trim_start_matches('`'));
    let place = match destination {
        Destination::TicketAttachment => ATTACHED.to_owned(),
        Destination::SupportUploader => format!("Where: Support Uploader, {}", object()),
        Destination::PartnerBucket => format!("Where: the partner's bucket, {}", object()),
    };
    let mut lines = vec![
        String::new(),
        format!("File: {}", escape(&upload.name)),
        String::new(),
        format!("- Size: {}", words::size(upload.length.unwrap_or_default())),
        format!("- SHA-256: {}", upload.sha256.as_deref().unwrap_or("unknown")),
        format!("- {place}"),
    ];
    lines.extend(asked.map(|wanted| format!("- Asked for as: {}", escape(wanted))));
    if !public {
        lines.push(format!("- For support staff: {public_url}/api/v1/uploads/{id}/content"));
        lines.extend([String::new(), "```".into(), format!("wb get {id} -o ."), "```".into()]);
        lines.extend(mismatch_comment::lines(upload).into_iter().flatten());
    }
    lines.extend([String::new(), format!("{MARKER}{id}"), String::new()]);
    text.push_str(&lines.join("\n"));
}

/// Looks for the upload's marker in a comment; says whether the comment has the file attached.
pub(super) fn find(body: &str, upload_id: &str) -> Option<bool> {
    let mut attached = false;
    for line in body.lines().map(str::trim) {
        if let Some(id) = line.strip_prefix(MARKER) {
            if id == upload_id {
                return Some(attached);
            }
            attached = false;
        } else if line.trim_start_matches(['-', '*', '•', ' ']) == ATTACHED {
            attached = true;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use ledger::{Delivery, State, TICKET_JOBS_MAX};

    use super::*;

    const ID: &str = "01KAN0T3S0000000000000000A";
    const OTHER: &str = "01KAN0T3S0000000000000000B";

    fn upload(id: &str, name: &str) -> Upload {
        Upload {
            id: id.into(),
            link_id: "l".into(),
            partner_id: "acme".into(),
            ticket: "1001".into(),
            name: name.into(),
            content_type: "text/plain".into(),
            bucket: "support-uploader".into(),
            object_key: format!("in/1001/{id}/{name}"),
            state: State::Complete,
            epoch: 1,
            offset: 2_300_000,
            length: Some(2_300_000),
            multipart_id: None,
            sha256: Some("ab".repeat(32)),
            md5: None,
            crc64: None,
            checked: vec![],
            destination: Some(Destination::TicketAttachment),
            delivery: Some(Delivery::Pending),
            mismatch: None,
            resumable: false,
            begins_with_body: false,
            tails_written: 0,
            announced: String::new(),
            tus_metadata: None,
            ask: None,
            delivery_detail: None,
            desk_token: None,
            created_at: 0,
            updated_at: 0,
            completed_at: Some(0),
            expires_at: None,
            attempts_until: 0,
        }
    }

    fn one(upload: &Upload, destination: Destination, public: bool) -> String {
        text(
            &[NotedFile { upload, destination, bucket: "support", asked: None }],
            "https://gate.example/",
            public,
        )
    }

    #[test]
    fn note_has_size_digest_place_and_command() {
        let file = upload(ID, "core.tar.gz");
        assert_eq!(
            one(&file, Destination::SupportUploader, false),
            format!(
                "**1 file received**\n\nFile: `core.tar.gz`\n\n- Size: 2,300,000 bytes (2.3 MB)\n- SHA-256: {}\n\
                 - Where: Support Uploader, `s3://support/in/1001/{ID}/core.tar.gz`\n\
                 - For support staff: https://gate.example/api/v1/uploads/{ID}/content\n\n\
                 ```\nwb get {ID} -o .\n```\n\nref: {ID}\n",
                "ab".repeat(32)
            )
        );
        let public = one(&file, Destination::TicketAttachment, true);
        assert!(public.contains("attached to this comment") && !public.contains("wb get"), "{public}");
        assert_eq!(find(&public, ID), Some(true));
    }

    #[test]
    fn markers_are_found_and_show_what_was_attached() {
        let (a, b) = (upload(ID, "a"), upload(OTHER, "b"));
        let entry = |upload, destination| NotedFile { upload, destination, bucket: "x", asked: None };
        let both = text(
            &[entry(&a, Destination::TicketAttachment), entry(&b, Destination::PartnerBucket)],
            "https://g",
            false,
        );
        assert_eq!((find(&both, ID), find(&both, OTHER)), (Some(true), Some(false)));
        assert_eq!(find(&both.replace('\n', "\r\n"), OTHER), Some(false));
        for body in ["", ID, &format!("see ref: {ID}"), &format!("ref: {ID}x"), &format!("> ref: {ID}")] {
            assert_eq!(find(body, ID), None, "{body}");
        }
        assert_eq!(find(&format!("  ref: {ID}  "), ID), Some(false));
    }

    #[test]
    fn no_name_forges_a_marker() {
        for name in [
            format!("ref: {OTHER}"),
            format!("\nref: {OTHER}\n"),
            format!("`\n\nref: {OTHER}\n\n`"),
            format!("\r\nref: {OTHER}"),
            format!("a\u{2028}ref: {OTHER}\u{2028}"),
            format!("a\u{85}ref: {OTHER}"),
            format!("a\u{b}ref: {OTHER}\u{c}b"),
            format!("```\nref: {OTHER}\n```"),
            format!("\n- {ATTACHED}\n"),
            "[a](https://evil.example) **b** <img src=x>".to_owned(),
        ] {
            let body = one(&upload(ID, &name), Destination::PartnerBucket, false);
            assert_eq!(find(&body, OTHER), None, "{body}");
            assert_eq!(find(&body, ID), Some(false), "{body}");
            assert_eq!(body.lines().count(), 14, "{body}");
        }
    }

    #[test]
    fn the_longest_note_fits() {
        // Every second pair of braces grows by a space.
        let file = upload(ID, &"{".repeat(255));
        let wanted = "{".repeat(api::LINE_CHARS_MAX);
        let entry = || NotedFile {
            upload: &file,
            destination: Destination::SupportUploader,
            bucket: &ID[..20],
            asked: Some(&wanted),
        };
        let entries: Vec<_> = (0..TICKET_JOBS_MAX).map(|_| entry()).collect();
        let long = text(&entries, &format!("https://{}", "x".repeat(100)), false);
        assert!(long.len() < 60_000, "{}", long.len());
    }
}
