//! What the Slack sink has received.
//!
//! Invariant: at most [`KEPT`] messages are held, in memory only; nothing here is durable. No two have the same timestamp.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// How many messages the sink keeps; the oldest go first.
const KEPT: usize = 1000;

/// The messages so far. Shared by all requests of one router.
#[derive(Debug, Default)]
pub(super) struct Sink(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    kept: VecDeque<Kept>,
    last: Micros,
}

/// Microseconds since the epoch.
pub(super) type Micros = i64;

#[derive(Debug)]
struct Kept {
    at: Micros,
    kind: &'static str,
    to: String,
    payload: Value,
}

/// Which messages of a channel are asked for.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    pub channel: &'a str,
    /// The message whose answers are asked for; the channel itself if none.
    pub thread: Option<Micros>,
    pub oldest: Micros,
    pub latest: Option<Micros>,
    /// With the ones that are exactly `oldest` or `latest`.
    pub inclusive: bool,
    pub limit: usize,
    pub cursor: Option<&'a str>,
    pub metadata: bool,
}

/// A page of messages, and the cursor of the next.
pub(super) struct Page {
    pub messages: Vec<Value>,
    pub next: Option<String>,
}

impl Sink {
    /// Every message still held, oldest first.
    pub(super) fn messages(&self) -> Vec<Value> {
        let show = |kept: &Kept| json!({"kind": kept.kind, "to": kept.to, "ts": ts(kept.at), "payload": kept.payload});
        self.inner().kept.iter().map(show).collect()
    }

    /// Keeps one message and returns its Slack timestamp (`ts`), which is unique.
    pub(super) fn keep(&self, kind: &'static str, to: &str, payload: &Value) -> String {
        let mut inner = self.inner();
        inner.last = jiff::Timestamp::now().as_microsecond().max(inner.last + 1);
        let at = inner.last;
        if inner.kept.len() == KEPT {
            inner.kept.pop_front();
        }
        inner.kept.push_back(Kept { at, kind, to: to.to_owned(), payload: payload.clone() });
        ts(at)
    }

    /// A channel's messages, newest first, without the answers in threads; or a thread, its first message first. `None` for a
    /// cursor of another list.
    pub(super) fn page(&self, wanted: &Wanted) -> Option<Page> {
        let inner = self.inner();
        let mut found: Vec<&Kept> = inner.kept.iter().filter(|kept| wanted.fits(kept)).collect();
        if wanted.thread.is_none() {
            found.reverse();
        }
        let start = match wanted.cursor {
            None => 0,
            Some(cursor) => found.iter().position(|kept| seal(kept.at) == cursor)?,
        };
        let end = (start + wanted.limit).min(found.len());
        let messages = found[start..end].iter().map(|kept| kept.message(wanted.metadata)).collect();
        Some(Page { messages, next: found.get(end).map(|kept| seal(kept.at)) })
    }

    /// Whether a channel has this message.
    pub(super) fn has(&self, channel: &str, at: Micros) -> bool {
        self.inner().kept.iter().any(|kept| kept.at == at && kept.to == channel)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wanted<'_> {
    fn fits(&self, kept: &Kept) -> bool {
        let thread = kept.payload.get("thread_ts").and_then(Value::as_str).and_then(micros);
        let in_place = match self.thread {
            Some(first) => kept.at == first || thread == Some(first),
            None => thread.is_none_or(|first| first == kept.at),
        };
        let after = kept.at > self.oldest || (self.inclusive && kept.at == self.oldest);
        let before =
            self.latest.is_none_or(|latest| kept.at < latest || (self.inclusive && kept.at == latest));
        kept.kind == "message" && kept.to == self.channel && in_place && after && before
    }
}

impl Kept {
    /// As Slack shows it.
    fn message(&self, metadata: bool) -> Value {
        let mut message = json!({"type": "message", "user": "U0GATEWAY", "bot_id": "B0GATEWAY",
            "text": self.payload.get("text"), "ts": ts(self.at)});
        for field in ["blocks", "thread_ts", "metadata"] {
            if let Some(value) = self.payload.get(field).filter(|_| metadata || field != "metadata") {
                message[field] = value.clone();
            }
        }
        message
    }
}

/// Slack's way to write a time and to name a message.
fn ts(at: Micros) -> String {
    format!("{}.{:06}", at / 1_000_000, at % 1_000_000)
}

/// Reads a time of Slack's: seconds, perhaps with microseconds.
pub(super) fn micros(ts: &str) -> Option<Micros> {
    let (seconds, fraction) = ts.split_once('.').unwrap_or((ts, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    let fraction: Micros = format!("{fraction:0<6}").parse().ok()?;
    seconds.parse::<Micros>().ok()?.checked_mul(1_000_000)?.checked_add(fraction)
}

fn seal(at: Micros) -> String {
    STANDARD.encode(format!("next_ts:{at}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_messages_are_dropped_first() {
        let sink = Sink::default();
        for n in 0..KEPT + 5 {
            sink.keep("webhook", "x", &json!({ "n": n }));
        }
        let kept = sink.messages();
        assert_eq!((kept.len(), &kept[0]["payload"]["n"]), (KEPT, &json!(5)));
    }

    #[test]
    fn times_are_read_and_written() {
        for (text, at) in [
            ("1503435956.000247", Some(1_503_435_956_000_247)),
            ("1503435956", Some(1_503_435_956_000_000)),
            ("1.5", Some(1_500_000)),
            ("0", Some(0)),
            ("", None),
            ("1.", None),
            ("-1", None),
            ("1.0000001", None),
            ("now", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(micros(text), at, "{text}");
        }
        assert_eq!(ts(1_503_435_956_000_247), "1503435956.000247");
    }

    #[test]
    fn histories_are_paged() {
        let sink = Sink::default();
        let post = |channel: &str, text: &str, thread: Option<&str>| {
            let mut payload = json!({"text": text, "metadata": {"event_type": "x"}});
            if let Some(thread) = thread {
                payload["thread_ts"] = json!(thread);
            }
            sink.keep("message", channel, &payload)
        };
        let (a, b) = (post("C1", "a", None), post("C1", "b", None));
        post("C2", "other", None);
        let reply = post("C1", "reply", Some(&a));
        let c = post("C1", "c", None);
        let page = |wanted: Wanted| {
            let page = sink.page(&Wanted { channel: "C1", ..wanted }).unwrap();
            let texts = page.messages.iter().map(|message| message["text"].as_str().unwrap().to_owned());
            (texts.collect::<Vec<_>>().concat(), page.next, page.messages)
        };
        let (texts, next, messages) = page(Wanted { limit: 2, ..Wanted::default() });
        assert_eq!((texts.as_str(), next.is_some(), messages[0].get("metadata")), ("cb", true, None));
        let (texts, next, _) = page(Wanted { limit: 2, cursor: next.as_deref(), ..Wanted::default() });
        assert_eq!((texts.as_str(), next), ("a", None));
        for (oldest, latest, inclusive, found) in [
            (&b, None, false, "c"),
            (&b, None, true, "cb"),
            (&reply, None, true, "c"),
            (&a, Some(&c), false, "b"),
            (&a, Some(&c), true, "cba"),
        ] {
            let latest = latest.and_then(|latest| micros(latest));
            let oldest = micros(oldest).unwrap();
            let wanted = Wanted { oldest, latest, inclusive, limit: 9, metadata: true, ..Wanted::default() };
            let (texts, _, messages) = page(wanted);
            assert_eq!(texts, found);
            assert_eq!(messages[0]["metadata"]["event_type"], "x");
        }
        let wanted = Wanted { thread: micros(&a), limit: 9, ..Wanted::default() };
        assert_eq!(page(wanted).0, "areply");
        assert!(sink.page(&Wanted { channel: "C1", cursor: Some("zzz"), ..Wanted::default() }).is_none());
        assert!(sink.has("C1", micros(&a).unwrap()) && !sink.has("C2", micros(&a).unwrap()));
    }
}
