//! Finds the objects that an argument means: a key as `ls` prints it, a ticket, or an upload ID.
//! A key cannot be built from an ID alone, so all IDs are looked up in one pass over the listing. `TICKET/ID` needs no pass.

use std::collections::HashSet;

use bucket::layout;

use super::entry::Entry;
use super::location::split;
use super::store::Store;
use crate::exit::{not_found, usage};

#[derive(Debug, PartialEq, Eq)]
enum Argument<'a> {
    Key(&'a str),
    Ticket(&'a str),
    Upload(&'a str),
    UploadOf(&'a str, &'a str),
}

fn parse(what: &str) -> Argument<'_> {
    if !what.is_empty() && what.len() <= 20 && what.bytes().all(|byte| byte.is_ascii_digit()) {
        return Argument::Ticket(what);
    }
    match what.split_once('/') {
        None if layout::is_upload_id(what) => Argument::Upload(what),
        Some((ticket, id)) if !ticket.is_empty() && layout::is_upload_id(id) => {
            Argument::UploadOf(ticket, id)
        }
        _ => Argument::Key(what),
    }
}

/// The objects that the arguments mean, each once, and an error for each argument without an object.
///
/// # Errors
/// If the bucket does not answer.
pub(crate) async fn resolve(
    store: &Store,
    arguments: &[String],
) -> anyhow::Result<(Vec<Entry>, Vec<anyhow::Error>)> {
    let (mut found, mut missing, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for what in arguments {
        let under = match parse(what) {
            Argument::Upload(id) => {
                ids.push(id);
                continue;
            }
            Argument::Key(key) => {
                match by_key(store, key).await? {
                    Some(entry) => found.push(entry),
                    None => {
                        let place = address(store);
                        missing.push(not_found(format!(
                            "No object has the key `{key}`. Run `wb --s3 {place} ls` to list objects."
                        )));
                    }
                }
                continue;
            }
            Argument::Ticket(ticket) => layout::ticket_prefix(store.prefix(), ticket),
            // A key without a name is the upload's folder.
            Argument::UploadOf(ticket, id) => layout::file_key(store.prefix(), ticket, id, ""),
        };
        let before = found.len();
        let mut listing = store.listing(under.clone());
        while let Some(page) = listing.page().await? {
            found.extend(page);
        }
        if found.len() == before {
            let place = format!("s3://{}/{under}", store.name());
            missing.push(not_found(format!("No file of `{what}` is under `{place}`.")));
        }
    }
    scan(store, &ids, &mut found, &mut missing).await?;
    let mut seen = HashSet::new();
    found.retain(|entry| seen.insert(entry.key.clone()));
    Ok((found, missing))
}

/// Finds an object by its key, with or without the prefix, or by its `s3://` address.
async fn by_key(store: &Store, what: &str) -> anyhow::Result<Option<Entry>> {
    let key = match split(what) {
        Some((bucket, _)) if bucket != store.name() => {
            return Err(usage(format!("`{what}` is not in the bucket `s3://{}`", store.name())));
        }
        Some((_, key)) => key,
        None => what,
    };
    if key.is_empty() {
        return Err(usage(format!("`{what}` is not a key")));
    }
    if key.starts_with(store.prefix())
        && let Some(entry) = store.head(key).await?
    {
        return Ok(Some(entry));
    }
    if store.prefix().is_empty() {
        return Ok(None);
    }
    store.head(&format!("{}{key}", store.prefix())).await
}

/// Looks up uploads by their IDs.
async fn scan(
    store: &Store,
    ids: &[&str],
    found: &mut Vec<Entry>,
    missing: &mut Vec<anyhow::Error>,
) -> anyhow::Result<()> {
    let mut wanted: HashSet<&str> = ids.iter().copied().collect();
    let mut listing = store.listing(store.prefix().to_owned());
    while !wanted.is_empty()
        && let Some(page) = listing.page().await?
    {
        // All objects of an upload are on one page.
        let of_ids = |entry: &Entry| entry.file_key().is_some_and(|key| wanted.contains(key.upload_id));
        let hits: Vec<_> = page.into_iter().filter(of_ids).collect();
        for key in hits.iter().filter_map(Entry::file_key) {
            wanted.remove(key.upload_id);
        }
        found.extend(hits);
    }
    let place = address(store);
    let unknown = ids.iter().filter(|id| wanted.contains(**id));
    missing.extend(unknown.map(|id| {
        not_found(format!(
            "No upload under `{place}` has the ID `{id}`. Run `wb --s3 {place} ls` to list uploads."
        ))
    }));
    Ok(())
}

fn address(store: &Store) -> String {
    format!("s3://{}/{}", store.name(), store.prefix())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_parsed() {
        const ID: &str = "01KAP7N3V8Q2ZD4T6W9XYMC5RB";
        for (what, expected) in [
            ("1001", Argument::Ticket("1001")),
            (ID, Argument::Upload(ID)),
            ("1001/01KAP7N3V8Q2ZD4T6W9XYMC5RB", Argument::UploadOf("1001", ID)),
            ("1001/01KAP7N3V8Q2ZD4T6W9XYMC5RB/a", Argument::Key("1001/01KAP7N3V8Q2ZD4T6W9XYMC5RB/a")),
            ("/01KAP7N3V8Q2ZD4T6W9XYMC5RB", Argument::Key("/01KAP7N3V8Q2ZD4T6W9XYMC5RB")),
            ("a.log", Argument::Key("a.log")),
            ("../1", Argument::Key("../1")),
            ("s3://b/1001", Argument::Key("s3://b/1001")),
            ("", Argument::Key("")),
            ("123456789012345678901", Argument::Key("123456789012345678901")),
        ] {
            assert_eq!(parse(what), expected, "{what}");
        }
    }
}
