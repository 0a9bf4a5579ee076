//! Side files, `NAME.sha256` and `NAME.md5`. One that arrives first binds the next upload of NAME; one that arrives later is
//! compared with it, at once or by a job.
//! Invariant: every mismatch is reported, to a sender and on the ticket; a match is reported only of what was compared.

use std::time::Duration;

use bucket::Payload;
use futures_util::StreamExt as _;
use ledger::{JobKind, Upload, now_ms};

use crate::checksum::side_file_text::{SIDE_FILE_BYTES_MAX, SideFileText, parse, target_of};
use crate::limits::unsigned;
use crate::uploads::Uploads;
use crate::{Algorithm, Digest, Error, Result, SideFile};

/// How long a side file binds the next upload of its name, and how long after a file a side file is compared with it.
const BINDS_MS: i64 = 60 * 60 * 1000;
/// How long a sender waits while a file is read back for its MD5. Most clients and proxies wait longer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
const COMPARISON_POLL: Duration = Duration::from_millis(50);

/// What a side file that has arrived is used for.
pub(crate) enum SideFileOutcome {
    /// It binds the next upload of a name.
    Binds(NextUpload),
    /// It matches this upload, which arrived before.
    Agrees(String, Algorithm),
    /// This upload, which arrived before, is compared with this MD5 later.
    Waits(String, String),
}

/// The digest of a complete file.
enum FileDigest {
    Known(String),
    /// The job that reads the file back is not done.
    Later,
    /// The file is too large to be read back, or gone. The side file stays beside it, for people.
    Unknown,
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
            Self::Waits(upload_id, digest) => ledger::SideFileRecord::Waits { upload_id, digest },
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
    /// that were not computed are left to a job.
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
        let actual = match (algorithm, &file.sha256) {
            (Algorithm::Md5, _) => self.md5_of(&file).await?,
            (_, Some(sha256)) => FileDigest::Known(sha256.clone()),
            (_, None) => FileDigest::Unknown,
        };
        match actual {
            FileDigest::Unknown => Ok(None),
            FileDigest::Known(actual) if actual == announced.hex => {
                Ok(Some(SideFileOutcome::Agrees(file.id, algorithm)))
            }
            // The file has its own side file: this one is about the next file of that name.
            _ if self.has_side_file(&file, upload).await? => binds(Some(file.id)),
            FileDigest::Later => Ok(Some(SideFileOutcome::Waits(file.id, announced.hex))),
            FileDigest::Known(actual) => {
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

    /// Waits for the job that compares a complete file with its side files, if there is one. Returns whether it has ended; if
    /// it takes longer, it continues without us.
    pub(crate) async fn wait_for_comparison(&self, id: &str) -> Result<bool> {
        let ended = async {
            while self.0.ledger.has_job(JobKind::Compare, id).await? {
                self.0.completed.notify_one();
                tokio::time::sleep(COMPARISON_POLL).await;
            }
            Ok::<_, Error>(())
        };
        match tokio::time::timeout(ANSWER_WAIT, ended).await {
            Ok(ended) => ended.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    async fn md5_of(&self, file: &Upload) -> Result<FileDigest> {
        if let Some(md5) = &file.md5 {
            return Ok(FileDigest::Known(md5.clone()));
        }
        self.0.ledger.queue_comparison(&file.id).await?;
        let has_ended = self.wait_for_comparison(&file.id).await?;
        Ok(match self.0.ledger.upload(&file.id).await?.md5 {
            Some(md5) => FileDigest::Known(md5),
            None if has_ended => FileDigest::Unknown,
            None => FileDigest::Later,
        })
    }
}
