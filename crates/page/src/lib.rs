//! The pages that partners see: upload page, receipts, problems. They work without JavaScript and load nothing from elsewhere.
//! Invariant: every text that is not ours goes through [`escape`].

use std::fmt::Write as _;

mod send;

pub use send::{send_ps1, send_sh};

const STYLE: &str = include_str!("style.css");

/// What the upload page shows.
#[derive(Debug, Clone)]
pub struct UploadPage<'a> {
    /// The partner's name.
    pub partner: &'a str,
    /// The ticket that the link is bound to. Without one the form asks for it.
    pub ticket: Option<&'a str>,
    /// The link's address in the commands to copy, with a slash at its end.
    pub link: &'a str,
    /// The link's address, relative to the page's, so that the form goes to where the page came from.
    pub here: &'a str,
    /// Largest file, bytes.
    pub max_bytes: u64,
    /// Largest file that is attached to the ticket, bytes.
    pub ticket_attachment_bytes: u64,
    /// When the link expires, RFC 3339.
    pub expires_at: Option<&'a str>,
}

/// A stored file, or why it was not stored.
#[derive(Debug, Clone)]
pub enum Outcome<'a> {
    /// Stored: the receipt.
    Stored {
        /// File name.
        name: &'a str,
        /// Bytes.
        size: u64,
        /// SHA-256, hex.
        sha256: &'a str,
        /// Where the file goes, in words.
        place: &'a str,
        /// The receipt's address, relative to the page's.
        location: &'a str,
    },
    /// Not stored.
    Refused {
        /// File name, as far as it is known.
        name: &'a str,
        /// What to do next.
        detail: &'a str,
    },
}

/// Text made safe inside HTML elements and quoted attributes.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

/// A size for people: `20 MB`, decimal units, exact up to three digits.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let (mut divisor, mut unit) = (1_u64, 0);
    while unit < UNITS.len() && bytes / divisor >= 1000 {
        divisor *= 1000;
        unit += 1;
    }
    let tenths = (u128::from(bytes) * 10 + u128::from(divisor) / 2) / u128::from(divisor);
    let (whole, tenth) = (tenths / 10, tenths % 10);
    let name = UNITS[unit - 1];
    if tenth == 0 { format!("{whole} {name}") } else { format!("{whole}.{tenth} {name}") }
}

/// The upload page.
pub fn upload(page: &UploadPage<'_>) -> String {
    let mut body = String::new();
    let _ = write!(body, "<h1>Send files to support</h1>\n<p>For {}", escape(page.partner));
    if let Some(ticket) = page.ticket {
        let _ = write!(body, ", ticket {}", escape(ticket));
    }
    let _ = write!(
        body,
        ".</p>\n<form method=\"post\" action=\"{}\" enctype=\"multipart/form-data\">\n",
        escape(page.here)
    );
    if page.ticket.is_none() {
        body.push_str(
            "<p><label for=\"ticket\">Ticket number</label>\n<input id=\"ticket\" name=\"ticket\" inputmode=\"numeric\" \
             required></p>\n",
        );
    }
    let _ = write!(
        body,
        "<p><label for=\"file\">Files</label>\n<input id=\"file\" type=\"file\" name=\"file\" multiple required></p>\n\
         <p><button>Send</button></p>\n</form>\n\
         <p>A file may have up to {}. Files up to {} are attached to the ticket; larger ones are stored beside it. Every file is \
         checked with SHA-256, and you get a receipt.</p>\n",
        human_bytes(page.max_bytes),
        human_bytes(page.ticket_attachment_bytes),
    );
    if let Some(at) = page.expires_at {
        let _ = writeln!(body, "<p>This link works until {}.</p>", escape(at));
    }
    let _ = write!(
        body,
        "<h2>From a terminal</h2>\n<pre id=\"curl\">{}</pre>\n<pre id=\"pipe\">{}</pre>\n\
         <p>For large files and unreliable networks. It resumes by itself, even if you run it again:</p>\n\
         <pre id=\"send\">{}</pre>\n\
         <h2>On Windows</h2>\n<p>Windows 10 and later include <code>curl.exe</code>:</p>\n<pre id=\"windows\">{}</pre>\n\
         <p>A script for PowerShell that resumes by itself, <a href=\"{}send.ps1\">send.ps1</a>, is a preview. Its first lines say \
         how to run it.</p>\n",
        escape(&curl_file(page.link, page.ticket)),
        escape(&curl_pipe(page.link, page.ticket)),
        escape(&send_file(page.link, page.ticket)),
        escape(&curl_windows(page.link, page.ticket)),
        escape(page.here),
    );
    document("Send files to support", &body)
}

/// The command that sends a file. Plain `curl -T` exits with status 0 on an HTTP error.
pub fn curl_file(link: &str, ticket: Option<&str>) -> String {
    match ticket {
        Some(_) => format!("curl --fail-with-body --retry 5 -T FILE -o receipt.txt '{link}'"),
        // curl adds the file's name only after a slash at the end.
        None => format!("curl --fail-with-body --retry 5 -T FILE -o receipt.txt '{link}FILE?ticket=NUMBER'"),
    }
}

/// The command that sends a file from Windows, in a command prompt or in PowerShell, where `curl` may be another command.
pub fn curl_windows(link: &str, ticket: Option<&str>) -> String {
    curl_file(link, ticket).replacen("curl", "curl.exe", 1).replace('\'', "\"")
}

/// The command that sends the output of another.
pub fn curl_pipe(link: &str, ticket: Option<&str>) -> String {
    let query = if ticket.is_some() { "" } else { "?ticket=NUMBER" };
    format!("tar cz DIRECTORY | curl --fail-with-body -T - -o receipt.txt '{link}NAME.tar.gz{query}'")
}

/// The command that sends a large file and resumes after interruptions. A pipe into `sh` would hide an error of curl.
pub fn send_file(link: &str, ticket: Option<&str>) -> String {
    let named = if ticket.is_some() { "" } else { "-t NUMBER " };
    format!("curl -fsSo send.sh '{link}send.sh' && sh send.sh {named}FILE > receipt.txt")
}

/// What the page of an unfinished upload shows.
#[derive(Debug, Clone)]
pub struct UnfinishedPage<'a> {
    /// File name.
    pub name: &'a str,
    /// Bytes that are stored.
    pub offset: u64,
    /// Bytes of the whole file, if they are known.
    pub length: Option<u64>,
    /// How it can be resumed, if it can.
    pub ways: Option<Ways<'a>>,
    /// The link's address, relative to the page's.
    pub here: &'a str,
}

/// How to resume an upload.
#[derive(Debug, Clone)]
pub struct Ways<'a> {
    /// Until when, RFC 3339.
    pub until: &'a str,
    /// The command for a POSIX shell.
    pub curl: &'a str,
    /// The command for Windows.
    pub windows: &'a str,
}

/// The page of an unfinished upload: its progress, and how to resume it.
pub fn unfinished(page: &UnfinishedPage<'_>) -> String {
    let title = "Not all of your file has arrived";
    let mut body = format!("<h1>{title}</h1>\n<h2>{}</h2>\n<p>", escape(page.name));
    let _ = match page.length {
        Some(length) => writeln!(body, "{} of {length} bytes are stored.</p>", page.offset),
        None => {
            writeln!(body, "{} bytes are stored. The length of the file is not known yet.</p>", page.offset)
        }
    };
    match &page.ways {
        Some(ways) => {
            let _ = write!(
                body,
                "<p>It can be resumed until {}. After that the stored bytes are removed.</p>\n\
                 <h2>Resume it</h2>\n<p>With curl, where FILE is the same file:</p>\n<pre id=\"curl\">{}</pre>\n\
                 <p>On Windows:</p>\n<pre id=\"windows\">{}</pre>\n\
                 <p>If you started with <code>send.sh</code> or another client that resumes, run it again: it finds the right \
                 place by itself.</p>\n",
                escape(ways.until),
                escape(ways.curl),
                escape(ways.windows),
            );
        }
        None => body.push_str(
            "<p>It cannot be resumed. If it is still being sent or stored, reload this page in a moment. Otherwise send the file \
             again.</p>\n",
        ),
    }
    let _ = writeln!(body, "<p><a href=\"{}\">Send files in a browser instead</a></p>", escape(page.here));
    document(title, &body)
}

/// The page after a form was sent. `here` is the link's address, relative to the page's.
pub fn outcomes(here: &str, outcomes: &[Outcome<'_>]) -> String {
    let stored = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Stored { .. })).count();
    let heading = match (stored, outcomes.len()) {
        (1, 1) => "Your file has arrived".to_owned(),
        (s, all) if s == all => format!("Your {all} files have arrived"),
        (0, _) => "Nothing was stored".to_owned(),
        (s, all) => format!("{s} of {all} files have arrived"),
    };
    let mut body = format!("<h1>{}</h1>\n", escape(&heading));
    for outcome in outcomes {
        match outcome {
            Outcome::Stored { name, size, sha256, place, location } => {
                let _ = write!(
                    body,
                    "<section class=\"stored\"><h2>{}</h2>\n<p>{} bytes, {}.</p>\n<p>SHA-256 <code>{}</code></p>\n\
                     <p><a href=\"{}\">Receipt</a></p></section>\n",
                    escape(name),
                    size,
                    escape(place),
                    escape(sha256),
                    escape(location)
                );
            }
            Outcome::Refused { name, detail } => {
                let _ = write!(
                    body,
                    "<section class=\"refused\"><h2>{}</h2>\n<p>Not stored. {}</p></section>\n",
                    escape(name),
                    escape(detail)
                );
            }
        }
    }
    let _ = writeln!(body, "<p><a href=\"{}\">Send more</a></p>", escape(here));
    document(&heading, &body)
}

/// The page of a refusal. Support asks for the request's id.
pub fn problem(status: u16, title: &str, detail: &str, request_id: Option<&str>) -> String {
    let mut body =
        format!("<h1>{}</h1>\n<p>{}</p>\n<p>Status {status}.</p>\n", escape(title), escape(detail));
    if let Some(id) = request_id {
        let _ = writeln!(body, "<p><small>Request <code id=\"request\">{}</code></small></p>", escape(id));
    }
    document(title, &body)
}

/// Lets a browser only show our style and send our form.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <main>\n{body}</main>\n</body>\n</html>\n",
        escape(title)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1_000, "1 kB"),
            (20_000_000, "20 MB"),
            (1_550_000_000, "1.6 GB"),
            (500_000_000_000, "500 GB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }

    #[test]
    fn windows_takes_double_quotes() {
        for (ticket, expected) in [
            (
                Some("1"),
                "curl.exe --fail-with-body --retry 5 -T FILE -o receipt.txt \"https://curl.example/u/t/\"",
            ),
            (
                None,
                "curl.exe --fail-with-body --retry 5 -T FILE -o receipt.txt \"https://curl.example/u/t/FILE?ticket=NUMBER\"",
            ),
        ] {
            assert_eq!(curl_windows("https://curl.example/u/t/", ticket), expected);
        }
    }

    #[test]
    fn foreign_text_is_escaped() {
        let evil = "<script>\"'&";
        let page = upload(&UploadPage {
            partner: evil,
            ticket: Some(evil),
            link: "https://h/u/t/",
            here: "./",
            max_bytes: 1,
            ticket_attachment_bytes: 1,
            expires_at: Some(evil),
        });
        let outcome = Outcome::Stored { name: evil, size: 1, sha256: evil, place: evil, location: evil };
        let pages = [
            page,
            problem(400, evil, evil, Some(evil)),
            outcomes("l", &[outcome, Outcome::Refused { name: evil, detail: evil }]),
            unfinished(&UnfinishedPage {
                name: evil,
                offset: 1,
                length: None,
                ways: Some(Ways { until: evil, curl: evil, windows: evil }),
                here: evil,
            }),
        ];
        for page in pages {
            assert!(!page.contains("<script>"), "{page}");
            assert!(page.contains("&lt;script&gt;&quot;&#39;&amp;"));
        }
    }
}
