//! Reads in the public comments of support on a ticket which files support asks for: what follows `Please send:`, on the same
//! line or as a list below it.
//! Invariant: only support asks. A comment of anybody else, or of ours, asks for nothing, and each comment asks once.

use desk::{Comment, Ticket};
use ledger::now_ms;
use tickets::is_unprintable;

use crate::error::JobError;
use crate::shared::Shared;
use crate::ticket::ALLOWED_SKEW_MS;

/// The step of a ticket that remembers up to when its comments were read, ms.
const READ: &str = "asks-read";
/// What begins such a line, in any case.
const WORDS: &str = "please send:";
/// How old comments are read on a ticket that is looked at for the first time, ms.
const RECENT_MS: i64 = 24 * 60 * 60 * 1000;
/// Files that one comment may ask for.
const FILES_MAX: usize = 20;

/// Records what new comments ask for.
pub(crate) async fn read(shared: &Shared, number: &str, seen: &Ticket) -> Result<(), JobError> {
    let ledger = &shared.ledger;
    let before = ledger.begin_step(number, READ).await?.and_then(|step| step.result?.parse::<i64>().ok());
    // What was asked long ago may have come in another way.
    let since = before.unwrap_or(seen.created_at_ms.max(now_ms() - RECENT_MS)).min(now_ms());
    let me = shared.desk.me().await?;
    let mut comments = shared.desk.comments_since(number, since - ALLOWED_SKEW_MS).await?;
    let newest = comments.iter().map(|comment| comment.created_at_ms).max();
    comments.reverse();
    for comment in comments.iter().filter(|comment| comment.public && comment.author_id != me) {
        let wanted = wanted(comment);
        if !wanted.is_empty() && shared.desk.is_staff(comment.author_id).await? {
            ledger.ask_by_comment(number, comment.id, comment.author_id, &wanted).await?;
        }
    }
    if let Some(newest) = newest {
        ledger.end_step(number, READ, &newest.to_string()).await?;
    }
    Ok(())
}

fn wanted(comment: &Comment) -> Vec<String> {
    let mut wanted = Vec::new();
    let mut in_list = false;
    for line in comment.body.lines().map(str::trim) {
        let list = ["- ", "* ", "• "].iter().find_map(|bullet| line.strip_prefix(bullet)).map(str::trim);
        let said = line.get(..WORDS.len()).filter(|start| start.eq_ignore_ascii_case(WORDS));
        if said.is_some() {
            wanted.extend(line[WORDS.len()..].split([';', ',']).map(str::trim).map(str::to_owned));
            in_list = true;
        } else if let Some(item) = list.filter(|_| in_list) {
            wanted.push(item.to_owned());
        } else if !line.is_empty() {
            in_list = false;
        }
    }
    for text in &mut wanted {
        *text = text.trim_end_matches('.').trim_matches(['`', '*', '_', '"']).trim().to_owned();
    }
    wanted.retain(|text| {
        text.chars().any(char::is_alphanumeric)
            && text.chars().count() <= api::LINE_CHARS_MAX
            && !text.chars().any(is_unprintable)
    });
    wanted.truncate(FILES_MAX);
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_please_send_is_asked_for() {
        for (body, expected) in [
            (
                "Hello,\nplease send: database logs; support bundle.\nThanks",
                &["database logs", "support bundle"][..],
            ),
            ("Please send: the `heap.hprof`, thread dumps", &["the `heap.hprof", "thread dumps"]),
            (
                "PLEASE SEND:\n\n- database logs\n* **support bundle**\n\nThen call us.\n- not this",
                &["database logs", "support bundle"],
            ),
            ("Please send: logs\n\n--\nSam", &["logs"]),
            ("Please send: logs\n\n-- \nSam\n- not this", &["logs"]),
            ("Please send: logs\n**Note**: call us\n- not this", &["logs"]),
            ("> Please send: quoted", &[]),
            ("Could you please send: logs", &[]),
            ("Please send", &[]),
            ("Please send: ; ,", &[]),
            ("Please send: a\u{202e}b", &[]),
            ("Please s\u{e9}nd: a", &[]),
        ] {
            let comment = Comment {
                id: 1,
                author_id: 2,
                body: body.into(),
                public: true,
                attachments: Vec::new(),
                created_at_ms: 0,
            };
            assert_eq!(wanted(&comment), expected, "{body}");
        }
    }
}
