//! Side files, `NAME.sha256` and `NAME.md5`: sent first, they bind the next upload of NAME; sent after, they are compared
//! with it; while it is on its way, when it rests. Invariant: a mismatch is always said, to a sender and on the ticket; a match
//! is only said of what was compared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bucket::Payload;
use futures_util::StreamExt as _;
use ledger::{Completed, State, Upload, now_ms};

use crate::engine::{Uploads, unsigned};
use crate::hash::Md5Hasher;
use crate::receiving::Receiving;
use crate::side_text::{SIDE_BYTES_MAX, Said, in_side, side_of};
use crate::{Algorithm, Digest, Error, Result, SideFile};

/// How long a side file binds the next upload of its name, and how long after a file one is compared with it.
const BINDS_MS: i64 = 60 * 60 * 1000;
/// MD5 of a file that was not announced is computed from what rests in the bucket, up to this size: about 5 s.
const READ_BACK_BYTES_MAX: u64 = 2_000_000_000;

/// So long the sender of a file waits for what has to be read back for its side file. Most clients and proxies wait longer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// What a side file that has arrived is good for.
pub(crate) enum Side {
    /// It binds the next upload of a name.
    Binds(Next),
    /// It agrees with this upload, which came before.
    Agrees(String, Algorithm),
}

/// The next upload of a name.
pub(crate) struct Next {
    name: String,
    digest: Digest,
    /// The newest that was complete already, of those that came at or after a time, ms.
    newest: Option<String>,
    since: i64,
}

/// One file of a link at a time is read back.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    fn of(&self, link_id: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, turn| turn.strong_count() > 0);
        let turn = all.get(link_id).and_then(Weak::upgrade).unwrap_or_default();
        all.insert(link_id.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

/// Whose turn it is to make up for comparisons. No link has this id.
const LEFT: &str = "left";

impl Side {
    /// As the ledger records it when the side file rests.
    pub(crate) fn in_ledger(&self) -> ledger::SideFileRecord<'_> {
        match self {
            Self::Binds(Next { name, digest, newest, since }) => ledger::SideFileRecord::Binds {
                name,
                algorithm: digest.algorithm.name(),
                digest: &digest.hex,
                until: now_ms() + BINDS_MS,
                newest: newest.as_deref(),
                since: *since,
            },
            Self::Agrees(upload_id, algorithm) => {
                ledger::SideFileRecord::Agrees { upload_id, algorithm: algorithm.name() }
            }
        }
    }
}

/// Whether a file of this name and size may be a side file.
fn is_side_file(name: &str, size: u64) -> bool {
    size <= SIDE_BYTES_MAX && side_of(name).is_some()
}

impl Uploads {
    /// Digests that side files name for an upload.
    pub(crate) async fn announced_by_side_files(&self, upload: &Upload) -> Result<Vec<Digest>> {
        let found = self.0.ledger.announced(&upload.link_id, &upload.name).await?;
        let digest = |(algorithm, hex): (String, String)| {
            Algorithm::parse(&algorithm).map(|algorithm| Digest { algorithm, hex })
        };
        Ok(found.into_iter().filter_map(digest).collect())
    }

    /// Compares what was announced with what came. Returns the names of the hashes that agree. Side files are asked for
    /// again: one may have come while the file was on its way. What was not computed is left to [`Self::compare_late`].
    pub(crate) async fn compare(
        &self,
        receiving: &Receiving<'_>,
        actual: &[Digest],
    ) -> Result<Vec<&'static str>> {
        let mut checked = Vec::new();
        let by_headers = receiving.announced.iter().map(|digest| (digest.clone(), None));
        let by_side_files =
            self.announced_by_side_files(&receiving.upload).await?.into_iter().map(|digest| {
                let suffix = if digest.algorithm == Algorithm::Md5 { "md5" } else { "sha256" };
                (digest, Some(SideFile::Before(format!("{}.{suffix}", receiving.upload.name))))
            });
        for (announced, side_file) in by_headers.chain(by_side_files) {
            let algorithm = announced.algorithm;
            let Some(actual) = actual.iter().find(|digest| digest.algorithm == algorithm) else { continue };
            if *actual != announced {
                let (announced, actual) = (announced.hex, actual.hex.clone());
                return Err(Error::DigestMismatch { algorithm, announced, actual, side_file });
            }
            if !checked.contains(&algorithm.name()) {
                checked.push(algorithm.name());
            }
        }
        Ok(checked)
    }

    /// Records that an upload rests, and what it says as a side file. A file that it speaks of may have come while it was
    /// stored: then the two are compared first.
    pub(crate) async fn complete(
        &self,
        upload: &Upload,
        epoch: i64,
        mut side: Option<Side>,
        whole: Option<&Payload>,
    ) -> Result<()> {
        let ledger = &self.0.ledger;
        while let Completed::Stale =
            ledger.complete(&upload.id, epoch, side.as_ref().map(Side::in_ledger).as_ref()).await?
        {
            side = self.side(upload, whole).await?;
        }
        Ok(())
    }

    /// The same of one that is `original` once more.
    pub(crate) async fn complete_again(
        &self,
        upload: &Upload,
        original: &Upload,
        md5: Option<&str>,
        mut side: Option<Side>,
        whole: Option<&Payload>,
    ) -> Result<()> {
        let ledger = &self.0.ledger;
        while let Completed::Stale =
            ledger.settle_again(&original.id, md5, side.as_ref().map(Side::in_ledger).as_ref()).await?
        {
            side = self.side(upload, whole).await?;
        }
        Ok(())
    }

    /// What an upload that has arrived says as a side file; none when it is none. `whole` is what has no parts.
    pub(crate) async fn side(&self, upload: &Upload, whole: Option<&Payload>) -> Result<Option<Side>> {
        match whole {
            Some(payload) if is_side_file(&upload.name, payload.len()) => {
                self.side_file(upload, &payload.to_bytes()).await
            }
            _ => Ok(None),
        }
    }

    /// Compared with the newest upload of its name on the link, unless that one agreed with another side file already.
    async fn side_file(&self, upload: &Upload, bytes: &[u8]) -> Result<Option<Side>> {
        let Some((target, algorithm)) = side_of(&upload.name) else { return Ok(None) };
        let announced = match in_side(bytes, target, algorithm) {
            Said::Digest(digest) => digest,
            Said::Nothing => return Ok(None),
            Said::Unreadable => {
                return Err(Error::UnreadableSideFile { algorithm, target: target.to_owned() });
            }
        };
        let since = now_ms() - BINDS_MS;
        let before = self.0.ledger.newest_complete(&upload.link_id, &upload.ticket, target, since).await?;
        let next = |newest| Next { name: target.to_owned(), digest: announced.clone(), newest, since };
        let Some(file) = before else { return Ok(Some(Side::Binds(next(None)))) };
        let actual = match algorithm {
            Algorithm::Md5 => self.md5_of(&file).await?,
            _ => file.sha256.clone(),
        };
        match actual {
            // Too large to be read back: it stays beside the file, for people.
            None => Ok(None),
            Some(actual) if actual == announced.hex => Ok(Some(Side::Agrees(file.id, algorithm))),
            // The file has its own side file: this one is about the next of that name.
            Some(_) if self.has_side_file(&file, upload).await? => Ok(Some(Side::Binds(next(Some(file.id))))),
            Some(actual) => {
                let said = format!("{} {} {}", algorithm.name(), announced.hex, actual);
                self.0.ledger.mark_mismatch(&file.id, &said).await?;
                self.0.completed.notify_one();
                let (announced, side_file) = (announced.hex, Some(SideFile::After(file.name)));
                Err(Error::DigestMismatch { algorithm, announced, actual, side_file })
            }
        }
    }

    /// The same of one that rests in its bucket, when its gateway died before the ledger knew.
    pub(crate) async fn side_file_again(&self, upload: &Upload) -> Result<Option<Side>> {
        if !is_side_file(&upload.name, unsigned(upload.length.unwrap_or(i64::MAX))) {
            return Ok(None);
        }
        let mut frames = Box::pin(self.bucket(upload)?.read(&upload.object_key, None).await?.stream());
        let mut bytes = Vec::new();
        while let Some(frame) = frames.next().await {
            bytes.extend_from_slice(&frame?);
        }
        self.side_file(upload, &bytes).await
    }

    /// Whether a side file of this one's name came after the file.
    async fn has_side_file(&self, file: &Upload, side: &Upload) -> Result<bool> {
        let since = file.completed_at.unwrap_or(file.created_at);
        Ok(self.0.ledger.newest_complete(&side.link_id, &side.ticket, &side.name, since).await?.is_some())
    }

    /// Compares a complete file with the side files that came while it was on its way and that it could not be compared with
    /// in passing: its MD5 was not computed. Whoever sent it waits a while for that, and is told.
    pub(crate) async fn compare_soon(&self, id: &str) -> Result<()> {
        if self.0.ledger.uncompared(id).await?.is_empty() {
            return Ok(());
        }
        let (uploads, id) = (self.clone(), id.to_owned());
        let comparing = self.spawn(async move { uploads.compare_late(&id).await });
        // Longer than that: it goes on by itself.
        let _ = tokio::time::timeout(ANSWER_WAIT, comparing).await;
        Ok(())
    }

    /// Makes up for comparisons whose process died or whose bucket did not answer, in the background. `idle` as for
    /// [`Uploads::recover`].
    pub(crate) async fn compare_left(&self, idle: Duration) -> Result<()> {
        let before = now_ms() - i64::try_from(idle.as_millis()).unwrap_or(i64::MAX);
        let left = self.0.ledger.uncompared_since(before).await?;
        // Those of the last time may still be under way.
        let Ok(turn) = self.0.read_backs.of(LEFT).try_lock_owned() else { return Ok(()) };
        if !left.is_empty() {
            let uploads = self.clone();
            self.spawn(async move {
                let _turn = turn;
                for id in left {
                    uploads.compare_late(&id).await;
                }
            });
        }
        Ok(())
    }

    /// The comparison itself. What fails is left to the next [`Self::compare_left`].
    async fn compare_late(&self, id: &str) {
        let compared = async {
            for (algorithm, digest) in self.0.ledger.uncompared(id).await? {
                let file = self.0.ledger.upload(id).await?;
                let actual = match Algorithm::parse(&algorithm) {
                    Some(Algorithm::Md5) if file.state == State::Complete => self.md5_of(&file).await,
                    _ => Ok(None),
                };
                self.0.ledger.compared(id, &algorithm, &digest, actual?.as_deref()).await?;
                self.0.completed.notify_one();
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = compared.await {
            tracing::warn!(upload.id = id, error = %error, "compare an upload with its side file; it is tried again");
        }
    }

    /// Computed once: whoever asks again is told what was found. None where it is too large to be read back, or gone.
    async fn md5_of(&self, file: &Upload) -> Result<Option<String>> {
        if file.md5.is_some() {
            return Ok(file.md5.clone());
        }
        if file.length.is_none_or(|length| unsigned(length) > READ_BACK_BYTES_MAX) {
            return Ok(None);
        }
        let turn = self.0.read_backs.of(&file.link_id);
        let _turn = turn.lock().await;
        if let Some(md5) = self.0.ledger.upload(&file.id).await?.md5 {
            return Ok(Some(md5));
        }
        let read = match self.bucket(file)?.read(&file.object_key, None).await {
            Err(error @ bucket::Error::NotFound(_)) => {
                tracing::warn!(upload.id = file.id, error = %error, "compare an upload with its side file");
                return Ok(None);
            }
            other => other?,
        };
        let mut bytes = Box::pin(read.stream());
        let mut md5 = Md5Hasher::default();
        while let Some(frame) = bytes.next().await {
            md5.update(&frame?);
        }
        let md5 = md5.finish();
        self.0.ledger.keep_md5(&file.id, &md5).await?;
        Ok(Some(md5))
    }
}
