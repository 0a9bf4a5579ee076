//! Side files, `NAME.sha256` and `NAME.md5`: sent first, they bind the next upload of NAME; sent after, they are compared
//! with it. Invariant: a mismatch is always said, to the sender and on the ticket; a match is only said of what was compared.

use futures_util::StreamExt as _;
use ledger::{Upload, now_ms};

use crate::digest::{SIDE_BYTES_MAX, in_side, side_of};
use crate::engine::{Uploads, unsigned};
use crate::hash::Md5Hasher;
use crate::receiving::Receiving;
use crate::{Algorithm, Digest, Error, Result, SideFile};

/// How long a side file binds the next upload of its name, and how long after a file one is compared with it.
const BINDS_MS: i64 = 60 * 60 * 1000;
/// MD5 of a file that was not announced is computed from what rests in the bucket, up to this size: about 5 s.
const READ_BACK_BYTES_MAX: u64 = 2_000_000_000;

/// What a side file that has arrived is good for.
pub(crate) enum Side {
    /// It binds the next upload of this name.
    Binds(String, Digest),
    /// It agrees with this upload, which came before.
    Agrees(String, Algorithm),
}

impl Side {
    /// As the ledger records it when the side file rests.
    pub(crate) fn in_ledger(&self) -> ledger::Side<'_> {
        match self {
            Self::Binds(name, Digest { algorithm, hex }) => ledger::Side::Binds {
                name,
                algorithm: algorithm.name(),
                digest: hex,
                until: now_ms() + BINDS_MS,
            },
            Self::Agrees(upload_id, algorithm) => {
                ledger::Side::Agrees { upload_id, algorithm: algorithm.name() }
            }
        }
    }
}

/// Whether a file of this name and size may be a side file.
pub(crate) fn is_side_file(name: &str, size: u64) -> bool {
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
    /// again: one may have come while the file was on its way.
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

    /// What an upload that has arrived whole says as a side file; none when it is none. Compared with the newest upload
    /// of its name on the link, unless that one agreed with another side file already.
    pub(crate) async fn side_file(&self, upload: &Upload, bytes: &[u8]) -> Result<Option<Side>> {
        let Some((target, algorithm)) = side_of(&upload.name) else { return Ok(None) };
        let Some(announced) = in_side(bytes, target, algorithm) else { return Ok(None) };
        let since = now_ms() - BINDS_MS;
        let before = self.0.ledger.newest_complete(&upload.link_id, &upload.ticket, target, since).await?;
        let Some(file) = before else { return Ok(Some(Side::Binds(target.to_owned(), announced))) };
        let actual = match algorithm {
            Algorithm::Md5 => self.md5_of(&file).await?,
            _ => file.sha256.clone(),
        };
        match actual {
            // Too large to be read back: it stays beside the file, for people.
            None => Ok(None),
            Some(actual) if actual == announced.hex => Ok(Some(Side::Agrees(file.id, algorithm))),
            // The file has its own side file: this one is about the next of that name.
            Some(_) if self.has_side_file(&file, upload).await? => {
                Ok(Some(Side::Binds(target.to_owned(), announced)))
            }
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

    async fn md5_of(&self, file: &Upload) -> Result<Option<String>> {
        if file.length.is_none_or(|length| unsigned(length) > READ_BACK_BYTES_MAX) {
            return Ok(None);
        }
        let mut bytes = Box::pin(self.bucket(file)?.read(&file.object_key, None).await?.stream());
        let mut md5 = Md5Hasher::default();
        while let Some(frame) = bytes.next().await {
            md5.update(&frame?);
        }
        Ok(Some(md5.finish()))
    }
}
