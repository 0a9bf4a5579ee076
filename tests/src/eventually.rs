//! Inspects what the programs left behind, and polls for it without long sleeps.

use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Longer than anything a test waits for, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The time between two polls grows, because a poll often starts a process.
fn pause(begun: Instant) -> Duration {
    (begun.elapsed() / 8).clamp(Duration::from_millis(10), Duration::from_millis(250))
}

/// Polls until `look` returns something.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "timed out waiting until {what}");
        std::thread::sleep(pause(begun));
    }
}

/// [`eventually`] for async closures.
pub async fn eventually_async<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "timed out waiting until {what}");
        tokio::time::sleep(pause(begun)).await;
    }
}

/// In lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Keys of every object in a bucket.
pub async fn objects(bucket: &bucket::Bucket) -> Vec<String> {
    let (mut keys, mut next) = (Vec::new(), None);
    loop {
        let page = bucket.list("", next.as_deref()).await.unwrap();
        keys.extend(page.objects.into_iter().map(|object| object.key));
        next = page.next;
        if next.is_none() {
            return keys;
        }
    }
}

/// Keys of every unfinished multipart upload in a bucket.
pub async fn unfinished(bucket: &bucket::Bucket) -> Vec<String> {
    bucket.multiparts("").await.unwrap().into_iter().map(|(key, _)| key).collect()
}

/// How many of these comments have the upload's marker line.
pub fn comments_naming(comments: &[Value], id: &str) -> usize {
    let marker = format!("ref: {id}");
    let names = |comment: &&Value| {
        comment["body"].as_str().is_some_and(|body| body.lines().any(|l| l.trim() == marker))
    };
    comments.iter().filter(names).count()
}
