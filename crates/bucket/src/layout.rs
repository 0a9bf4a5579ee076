//! The layout of object keys. Pure. Invariant: no other code spells `.weighbridge/` or `.receipt.json`, or builds or
//! parses a key.
//!
//! ```text
//! {prefix}{ticket}/{upload ID}/{name}                 a file
//! {prefix}{ticket}/{upload ID}/{name}.receipt.json    its receipt
//! {prefix}.weighbridge/{upload ID}/…                  the tail of an upload that is not complete
//! {prefix}.weighbridge/probe/…                        written by a probe, and removed by it
//! ```

/// The folder for everything that is not a file of somebody's, hidden from every listing.
const HIDDEN_FOLDER: &str = ".weighbridge";
const PROBE_FOLDER: &str = "probe/";
const RECEIPT_SUFFIX: &str = ".receipt.json";

/// The parts of a file's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileKey<'a> {
    /// The whole key, prefix included.
    pub key: &'a str,
    pub ticket: &'a str,
    pub upload_id: &'a str,
    pub name: &'a str,
}

impl<'a> FileKey<'a> {
    /// Parses a key in a bucket with this prefix.
    pub fn parse(prefix: &str, key: &'a str) -> Option<Self> {
        let parsed = Self::parse_any(key)?;
        let length = prefix.len() + parsed.ticket.len() + 1 + parsed.upload_id.len() + 1 + parsed.name.len();
        (key.starts_with(prefix) && key.len() == length).then_some(parsed)
    }

    /// Parses a key whose prefix is not known. Names contain no `/`, so a key can be read from its end.
    pub fn parse_any(key: &'a str) -> Option<Self> {
        let mut parts = key.rsplit('/');
        let (name, upload_id, ticket) = (parts.next()?, parts.next()?, parts.next()?);
        (!name.is_empty() && is_upload_id(upload_id) && !ticket.is_empty()).then_some(Self {
            key,
            ticket,
            upload_id,
            name,
        })
    }

    /// The key up to the name.
    pub fn folder(&self) -> &'a str {
        &self.key[..self.key.len() - self.name.len()]
    }
}

/// The key of a file.
pub fn file_key(prefix: &str, ticket: &str, upload_id: &str, name: &str) -> String {
    format!("{prefix}{ticket}/{upload_id}/{name}")
}

/// The prefix of a ticket's files.
pub fn ticket_prefix(prefix: &str, ticket: &str) -> String {
    format!("{prefix}{ticket}/")
}

/// The key of the receipt of the file at `key`.
pub fn receipt_key(key: &str) -> String {
    format!("{key}{RECEIPT_SUFFIX}")
}

/// The key of the file whose receipt would be at `key`. A file may have such a name, too: check that the other exists.
pub fn receipt_subject(key: &str) -> Option<&str> {
    key.strip_suffix(RECEIPT_SUFFIX)
}

/// The prefix of everything hidden.
pub fn hidden_prefix(prefix: &str) -> String {
    format!("{prefix}{HIDDEN_FOLDER}/")
}

/// Whether the key is in a hidden folder, for a key whose prefix is not known.
pub fn is_hidden(key: &str) -> bool {
    key.split('/').any(|part| part == HIDDEN_FOLDER)
}

/// The prefix of the pieces of an upload's tail.
pub fn tail_prefix(prefix: &str, upload_id: &str) -> String {
    format!("{}{upload_id}/", hidden_prefix(prefix))
}

/// The upload whose tail this hidden object is a piece of; empty if it is not a piece of one.
pub fn tail_upload_id<'a>(prefix: &str, key: &'a str) -> &'a str {
    let rest = key.strip_prefix(&hidden_prefix(prefix)).unwrap_or_default();
    rest.split_once('/').map_or("", |(id, _)| id)
}

/// The prefix of what a probe writes.
pub(crate) fn probe_prefix(prefix: &str) -> String {
    format!("{}{PROBE_FOLDER}", hidden_prefix(prefix))
}

/// The ticket's number that the key of an object of others begins with, in a bucket with this prefix: up to 20 digits, and then
/// nothing that belongs to a word.
pub fn leading_ticket<'a>(prefix: &str, key: &'a str) -> Option<&'a str> {
    let rest = key.strip_prefix(prefix)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, after) = rest.split_at(end);
    let is_number = (1..=20).contains(&number.len()) && !number.starts_with('0');
    let ends = !after.starts_with(char::is_alphanumeric);
    // Files of ours and their receipts have a form of their own.
    (is_number && ends && FileKey::parse(prefix, key).is_none()).then_some(number)
}

/// A key before all those that can begin with a ticket's number. Listings are sorted by the bytes of the keys.
pub fn before_tickets(prefix: &str) -> String {
    format!("{prefix}0")
}

/// Whether the key, and so all that follow it in a listing, is behind those that can begin with a ticket's number.
pub fn is_after_tickets(prefix: &str, key: &str) -> bool {
    key.as_bytes().get(prefix.len()).is_some_and(|byte| *byte > b'9')
}

/// Whether a probe wrote this object or multipart upload.
pub fn is_probe(prefix: &str, key: &str) -> bool {
    key.starts_with(&probe_prefix(prefix))
}

/// Whether this is an upload ID, a ULID: 26 characters of Crockford's base 32, upper-case, that fit in 128 bits.
pub fn is_upload_id(text: &str) -> bool {
    let is_digit =
        |byte: u8| byte.is_ascii_digit() || (byte.is_ascii_uppercase() && !b"ILOU".contains(&byte));
    text.len() == 26 && text.bytes().all(is_digit) && text.as_bytes()[0] <= b'7'
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01KAP7N3V8Q2ZD4T6W9XYMC5RB";

    #[test]
    fn file_keys_round_trip() {
        for prefix in ["", "in/", "in/acme/"] {
            let key = file_key(prefix, "1001", ID, "a b.log");
            let expected = FileKey { key: &key, ticket: "1001", upload_id: ID, name: "a b.log" };
            assert_eq!(FileKey::parse(prefix, &key), Some(expected), "{key}");
            assert_eq!(FileKey::parse_any(&key), Some(expected), "{key}");
            assert_eq!(expected.folder(), key.strip_suffix("a b.log").unwrap());
            assert!(key.starts_with(&ticket_prefix(prefix, "1001")));
        }
    }

    #[test]
    fn other_keys_are_not_file_keys() {
        for key in [
            "a.log".to_owned(),
            format!("{ID}/a.log"),
            format!("/{ID}/a.log"),
            format!("1001/{ID}/"),
            format!("1001/{ID}/a/b"),
            format!("1001/{}/a", ID.to_lowercase()),
            format!("1001/8{}/a", &ID[1..]),
            format!("1001/{}U/a", &ID[1..]),
        ] {
            assert_eq!(FileKey::parse_any(&key), None, "{key}");
            assert_eq!(FileKey::parse("", &key), None, "{key}");
        }
        let key = format!("in/1001/{ID}/a");
        for prefix in ["", "i", "in", "out/", "in/1001/", "in/1001/x"] {
            assert_eq!(FileKey::parse(prefix, &key), None, "{prefix}");
        }
    }

    #[test]
    fn keys_of_others_may_begin_with_a_ticket() {
        for (key, ticket) in [
            ("in/1001/a.log", Some("1001")),
            ("in/1001", Some("1001")),
            ("in/1001-a.log", Some("1001")),
            ("in/1001_a", Some("1001")),
            ("in/1001.tar.gz", Some("1001")),
            ("in/1001/2002/a", Some("1001")),
            ("in/1001a.log", None),
            ("in/1001\u{e4}", None),
            ("in/01001/a", None),
            ("in/logs/1001/a", None),
            ("in/123456789012345678901/a", None),
            ("1001/a", None),
            (format!("in/1001/{ID}/a.log").as_str(), None),
            (format!("in/1001/{ID}/a.log.receipt.json").as_str(), None),
        ] {
            assert_eq!(leading_ticket("in/", key), ticket, "{key}");
            if ticket.is_some() {
                assert!(*key > *before_tickets("in/") && !is_after_tickets("in/", key), "{key}");
            }
        }
        for (key, is_after) in
            [("in/", false), ("in/-", false), ("in/9z", false), ("in/:", true), ("in/a", true)]
        {
            assert_eq!(is_after_tickets("in/", key), is_after, "{key}");
        }
    }

    #[test]
    fn receipts_are_beside_their_files() {
        let key = file_key("in/", "1001", ID, "a.log");
        assert_eq!(receipt_key(&key), format!("in/1001/{ID}/a.log.receipt.json"));
        assert_eq!(receipt_subject(&receipt_key(&key)), Some(key.as_str()));
        assert_eq!(receipt_subject(&key), None);
    }

    #[test]
    fn hidden_objects_are_recognized() {
        let tail = tail_prefix("in/", ID);
        assert_eq!(tail, format!("in/.weighbridge/{ID}/"));
        assert_eq!(tail_upload_id("in/", &format!("{tail}0-1")), ID);
        for (key, hidden, probe) in [
            (format!("{tail}0-1").as_str(), true, false),
            ("in/.weighbridge/loose", true, false),
            ("in/.weighbridge/probe/1-1", true, true),
            ("in/x/.weighbridge/probe/1-1", true, false),
            ("in/1001/a.weighbridge/b", false, false),
        ] {
            assert_eq!((is_hidden(key), is_probe("in/", key)), (hidden, probe), "{key}");
        }
        assert_eq!(tail_upload_id("in/", "in/.weighbridge/loose"), "");
    }
}
