//! Side files, `NAME.sha256` and `NAME.md5`. One that arrives first binds the next upload of NAME; one that arrives later is
//! compared with it, at once or when it is complete.
//! Invariant: every mismatch is reported, to a sender and on the ticket; a match is reported only of what was compared.

use std::time::Duration;

use bucket::Payload;
use futures_util::StreamExt as _;
use ledger::{State, Upload, now_ms};

use crate::checksum::hasher::Md5Hasher;
use crate::checksum::side_file_text::{SIDE_FILE_BYTES_MAX, SideFileText, parse, target_of};
use crate::limits::{millis, unsigned};
use crate::uploads::Uploads;
use crate::{Algorithm, Digest, Error, Result, SideFile};

/// How long a side file binds the next upload of its name, and how long after a file a side file is compared with it.
const BINDS_MS: i64 = 60 * 60 * 1000;
/// Up to this size an MD5 that was not announced is computed from the stored object: about 5 s.
const READ_BACK_BYTES_MAX: u64 = 2_000_000_000;
/// How long the sender of a file waits while it is read back for its side file. Most clients and proxies wait longer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// The lock of [`Uploads::compare_missed`]. No link has this ID.
const MISSED: &str = "missed";

/// What a side file that has arrived is used for.
pub(crate) enum SideFileOutcome {
    /// It binds the next upload of a name.
    Binds(NextUpload),
    /// It matches this upload, which arrived before.
    Agrees(String, Algorithm),
}

/// The next upload of a name.
pub(crate) struct NextUpload {
    name: String,
    digest: Digest,
    /// The newest upload of the name that was already complete, of those that arrived since a time, ms.
    newest: Option<String>,
    since: i64,
}

impl SideFileOutcome {
    /// As the ledger records it when the side file is complete.
    pub(crate) fn in_ledger(&self) -> ledger::SideFileRecord<'_> {
        match self {
            Self::Binds(NextUpload { name, digest, newest, since }) => ledger::SideFileRecord::Binds {
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
    size <= SIDE_FILE_BYTES_MAX && target_of(name).is_some()
}

impl Uploads {
    /// Digests that side files announce for an upload.
    pub(crate) async fn announced_by_side_files(&self, upload: &Upload) -> Result<Vec<Digest>> {
        let found = self.0.ledger.announced(&upload.link_id, &upload.name).await?;
        let digest = |(algorithm, hex): (String, String)| {
            Algorithm::parse(&algorithm).map(|algorithm| Digest { algorithm, hex })
        };
        Ok(found.into_iter().filter_map(digest).collect())
    }

    /// Compares the digests of a file with those that its sender and its side files announced. Returns the names of the
    /// algorithms that match. Side files are looked up again, because one may have arrived together with the file. Digests
    /// that were not computed are left to [`Self::compare_soon`].
    pub(crate) async fn compare_digests(
        &self,
        upload: &Upload,
        announced: &[Digest],
        actual: &[Digest],
    ) -> Result<Vec<&'static str>> {
        let mut checked = Vec::new();
        let by_sender = announced.iter().map(|digest| (digest.clone(), None));
        let by_side_files = self.announced_by_side_files(upload).await?.into_iter().map(|digest| {
            let suffix = if digest.algorithm == Algorithm::Md5 { "md5" } else { "sha256" };
            (digest, Some(SideFile::Before(format!("{}.{suffix}", upload.name))))
        });
        for (announced, side_file) in by_sender.chain(by_side_files) {
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

    /// What an upload that has arrived means as a side file; none if it is not one. `whole` is a file without parts.
    pub(crate) async fn side_file(
        &self,
        upload: &Upload,
        whole: Option<&Payload>,
    ) -> Result<Option<SideFileOutcome>> {
        match whole {
            Some(payload) if is_side_file(&upload.name, payload.len()) => {
                self.compare_side_file(upload, &payload.to_bytes()).await
            }
            _ => Ok(None),
        }
    }

    /// As [`Self::side_file`], for an upload that is in its bucket: its gateway died before the ledger knew.
    pub(crate) async fn stored_side_file(&self, upload: &Upload) -> Result<Option<SideFileOutcome>> {
        if !is_side_file(&upload.name, unsigned(upload.length.unwrap_or(i64::MAX))) {
            return Ok(None);
        }
        let mut frames = Box::pin(self.bucket(upload)?.read(&upload.object_key, None).await?.stream());
        let mut bytes = Vec::new();
        while let Some(frame) = frames.next().await {
            bytes.extend_from_slice(&frame?);
        }
        self.compare_side_file(upload, &bytes).await
    }

    /// Compares a side file with the newest upload of its name on the link, unless that upload matched another side file.
    async fn compare_side_file(&self, upload: &Upload, bytes: &[u8]) -> Result<Option<SideFileOutcome>> {
        let Some((target, algorithm)) = target_of(&upload.name) else { return Ok(None) };
        let announced = match parse(bytes, target, algorithm) {
            SideFileText::Digest(digest) => digest,
            SideFileText::None => return Ok(None),
            SideFileText::Unreadable => {
                return Err(Error::UnreadableSideFile { algorithm, target: target.to_owned() });
            }
        };
        let since = now_ms() - BINDS_MS;
        let before = self.0.ledger.newest_complete(&upload.link_id, &upload.ticket, target, since).await?;
        let binds = |newest| {
            let next = NextUpload { name: target.to_owned(), digest: announced.clone(), newest, since };
            Ok(Some(SideFileOutcome::Binds(next)))
        };
        let Some(file) = before else { return binds(None) };
        let actual = match algorithm {
            Algorithm::Md5 => self.md5_of(&file).await?,
            _ => file.sha256.clone(),
        };
        match actual {
            // The file is too large to be read back. The side file stays beside it, for people.
            None => Ok(None),
            Some(actual) if actual == announced.hex => Ok(Some(SideFileOutcome::Agrees(file.id, algorithm))),
            // The file has its own side file: this one is about the next file of that name.
            Some(_) if self.has_side_file(&file, upload).await? => binds(Some(file.id)),
            Some(actual) => {
                let mismatch = format!("{} {} {}", algorithm.name(), announced.hex, actual);
                self.0.ledger.mark_mismatch(&file.id, &mismatch).await?;
                self.0.completed.notify_one();
                let (announced, side_file) = (announced.hex, Some(SideFile::After(file.name)));
                Err(Error::DigestMismatch { algorithm, announced, actual, side_file })
            }
        }
    }

    /// Whether a side file of this one's name arrived after the file.
    async fn has_side_file(&self, file: &Upload, side_file: &Upload) -> Result<bool> {
        let since = file.completed_at.unwrap_or(file.created_at);
        let newest =
            self.0.ledger.newest_complete(&side_file.link_id, &side_file.ticket, &side_file.name, since);
        Ok(newest.await?.is_some())
    }

    /// Compares a complete file with the side files that arrived together with it, if that needs an MD5 that was not computed.
    /// The file's sender waits a while for the comparison.
    pub(crate) async fn compare_soon(&self, id: &str) -> Result<()> {
        if self.0.ledger.uncompared(id).await?.is_empty() {
            return Ok(());
        }
        let (uploads, id) = (self.clone(), id.to_owned());
        let comparing = self.spawn(async move { uploads.compare_complete(&id).await });
        // If it takes longer, it continues in the background.
        let _ = tokio::time::timeout(ANSWER_WAIT, comparing).await;
        Ok(())
    }

    /// Catches up, in the background, on comparisons whose process died or whose bucket did not answer. `idle` as for
    /// [`Uploads::recover`].
    pub(crate) async fn compare_missed(&self, idle: Duration) -> Result<()> {
        let missed = self.0.ledger.uncompared_since(now_ms() - millis(idle)).await?;
        // The previous run may still be going.
        let Ok(lock) = self.0.read_backs.get(MISSED).try_lock_owned() else { return Ok(()) };
        if !missed.is_empty() {
            let uploads = self.clone();
            self.spawn(async move {
                let _lock = lock;
                for id in missed {
                    uploads.compare_complete(&id).await;
                }
            });
        }
        Ok(())
    }

    /// A comparison that fails is left to the next [`Self::compare_missed`].
    async fn compare_complete(&self, id: &str) {
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
            tracing::warn!(upload.id = id, error = %error, "cannot compare an upload with its side file; trying again later");
        }
    }

    /// The MD5 of a stored file, computed once. None if the file is too large to be read back, or gone.
    async fn md5_of(&self, file: &Upload) -> Result<Option<String>> {
        if file.md5.is_some() {
            return Ok(file.md5.clone());
        }
        if file.length.is_none_or(|length| unsigned(length) > READ_BACK_BYTES_MAX) {
            return Ok(None);
        }
        let lock = self.0.read_backs.get(&file.link_id);
        let _lock = lock.lock().await;
        if let Some(md5) = self.0.ledger.upload(&file.id).await?.md5 {
            return Ok(Some(md5));
        }
        let read = match self.bucket(file)?.read(&file.object_key, None).await {
            Err(error @ bucket::Error::NotFound(_)) => {
                tracing::warn!(upload.id = file.id, error = %error, "cannot compare an upload with its side file");
                return Ok(None);
            }
            other => other?,
        };
        let mut frames = Box::pin(read.stream());
        let mut md5 = Md5Hasher::default();
        while let Some(frame) = frames.next().await {
            md5.update(&frame?);
        }
        let md5 = md5.finish();
        self.0.ledger.keep_md5(&file.id, &md5).await?;
        Ok(Some(md5))
    }
}
