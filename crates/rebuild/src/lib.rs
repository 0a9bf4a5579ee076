//! Rebuilds a lost ledger: adopts complete uploads from the receipts beside their objects.
//! Invariant: a receipt is believed only as far as its object confirms it; a receipt in a partner's own bucket concerns no
//! other partner; and nothing in a bucket is changed.

mod receipt;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use access::TicketOwners;
use bucket::layout::{self, FileKey};
use bucket::{Bucket, Buckets, Object, SUPPORT_UPLOADER};
use ledger::{Adopted, Ledger, Partner, State};

use receipt::{Rejection, file_key, read};

/// A receipt has less than 2 KB with the longest name.
const RECEIPT_BYTES_MAX: i64 = 64 * 1024;
/// An upload's folder has one file and its receipt. Larger folders are not ours, and are looked at in pieces.
const FOLDER_MAX: usize = 100;
/// Objects without a receipt that are reported by name, per bucket: a partner may keep millions of its own there.
const UNVERIFIED_NAMED_MAX: u64 = 1_000;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Adopted, or to be adopted in a dry run.
    pub adopted: u64,
    /// Uploads that are in the ledger already.
    pub known: u64,
    /// Receipts that were not believed.
    pub refused: u64,
    /// Objects without a receipt.
    pub unverified: u64,
    /// Buckets that could not be listed, and uploads that could not be checked now: run it again.
    pub failed: u64,
}

/// Something to report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// `adopted`, `unverified`, `failed`, or why a receipt was refused.
    pub what: &'static str,
    /// Configured bucket.
    pub bucket: String,
    /// Key of the object, or of a receipt without one.
    pub key: String,
    /// What to do about it; for an adopted upload, its ticket and delivery.
    pub detail: String,
}

/// A run over all buckets.
pub struct Rebuild<'a> {
    pub ledger: &'a Ledger,
    pub buckets: &'a Buckets,
    pub owners: TicketOwners<'a>,
    /// Whether a file name is valid.
    pub is_name: fn(&str) -> bool,
    /// Report, but adopt nothing.
    pub dry_run: bool,
    /// Receives each finding at once.
    pub report: &'a mut dyn FnMut(Discovery),
}

#[derive(Debug, thiserror::Error)]
enum ScanError {
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    #[error(transparent)]
    Bucket(#[from] bucket::Error),
}

/// One bucket.
struct Scan<'a> {
    name: &'a str,
    bucket: &'a Bucket,
    partners: &'a HashMap<String, Partner>,
}

impl Rebuild<'_> {
    /// Scans every bucket and adopts what it may.
    ///
    /// # Errors
    /// Those of the ledger. A bucket that cannot be listed is reported.
    pub async fn run(&mut self) -> ledger::Result<Totals> {
        let partners = self.ledger.partners().await?;
        let partners = partners.into_iter().map(|partner| (partner.id.clone(), partner)).collect();
        let mut totals = Totals::default();
        for (name, bucket) in self.buckets.all() {
            let scan = Scan { name, bucket, partners: &partners };
            match Box::pin(self.bucket(&scan, &mut totals)).await {
                Ok(()) => {}
                Err(ScanError::Ledger(error)) => return Err(error),
                Err(ScanError::Bucket(error)) => {
                    totals.failed += 1;
                    self.report(&scan, "failed", "", format!("{error}; run this again when it answers"));
                }
            }
        }
        Ok(totals)
    }

    fn report(&mut self, scan: &Scan<'_>, what: &'static str, key: &str, detail: String) {
        (self.report)(Discovery { what, bucket: scan.name.to_owned(), key: key.to_owned(), detail });
    }

    /// Objects are listed by key, so those of one upload are together.
    async fn bucket(&mut self, scan: &Scan<'_>, totals: &mut Totals) -> Result<(), ScanError> {
        let others = self.buckets.prefixes_inside(scan.name);
        let pieces = layout::hidden_prefix(scan.bucket.prefix());
        let mut objects: Vec<Object> = Vec::new();
        let (mut next, mut unverified) = (None, 0);
        loop {
            let page = scan.bucket.list(scan.bucket.prefix(), next.as_deref()).await?;
            for object in page.objects {
                let is_marker = object.size == 0 && object.key.ends_with('/');
                let is_elsewhere = others.iter().any(|other| object.key.starts_with(other));
                if is_marker || is_elsewhere || object.key.starts_with(&pieces) {
                    continue;
                }
                let is_same =
                    objects.first().is_some_and(|first| folder_of(&first.key) == folder_of(&object.key));
                if !objects.is_empty() && (!is_same || objects.len() == FOLDER_MAX) {
                    self.folder(scan, std::mem::take(&mut objects), &mut unverified, totals).await?;
                }
                objects.push(object);
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        self.folder(scan, objects, &mut unverified, totals).await?;
        totals.unverified += unverified;
        Ok(())
    }

    async fn folder(
        &mut self,
        scan: &Scan<'_>,
        objects: Vec<Object>,
        unverified: &mut u64,
        totals: &mut Totals,
    ) -> Result<(), ScanError> {
        let keys: HashSet<&str> = objects.iter().map(|object| object.key.as_str()).collect();
        for object in &objects {
            let place = file_key(scan.bucket.prefix(), &object.key);
            let of = layout::receipt_subject(&object.key).filter(|of| keys.contains(of));
            if let Some(of) = of.and_then(|of| file_key(scan.bucket.prefix(), of)) {
                Box::pin(self.judge(scan, &of, object, totals)).await?;
                continue;
            }
            if keys.contains(layout::receipt_key(&object.key).as_str()) && place.is_some() {
                continue;
            }
            if let Some(place) = &place
                && self.is_known(scan, place).await?
            {
                totals.known += 1;
            } else if self.is_bare_receipt(scan, place.as_ref(), object).await? {
                totals.refused += 1;
                let detail = "its object is not there: look for it in a backup of the bucket".to_owned();
                self.report(scan, "no-object", &object.key, detail);
            } else {
                *unverified += 1;
                if *unverified <= UNVERIFIED_NAMED_MAX {
                    let detail = format!(
                        "{} bytes without a receipt, so their content cannot be verified",
                        object.size
                    );
                    self.report(scan, "unverified", &object.key, detail);
                }
            }
        }
        Ok(())
    }

    /// Whether the ledger has this upload as complete or removed.
    async fn is_known(&self, scan: &Scan<'_>, place: &FileKey<'_>) -> ledger::Result<bool> {
        match self.ledger.upload(place.upload_id).await {
            Ok(upload) => Ok(upload.bucket == scan.name
                && upload.object_key == place.key
                && matches!(upload.state, State::Complete | State::Removed)),
            Err(ledger::Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tells a receipt without its object from a file that only has such a name.
    async fn is_bare_receipt(
        &self,
        scan: &Scan<'_>,
        place: Option<&FileKey<'_>>,
        object: &Object,
    ) -> Result<bool, ScanError> {
        let of = layout::receipt_subject(&object.key).and_then(|of| file_key(scan.bucket.prefix(), of));
        let (Some(_), Some(of)) = (place, of) else { return Ok(false) };
        let Some(text) = text(scan.bucket, object).await? else { return Ok(false) };
        Ok(receipt::is_of(&text, &of))
    }

    async fn judge(
        &mut self,
        scan: &Scan<'_>,
        place: &FileKey<'_>,
        receipt: &Object,
        totals: &mut Totals,
    ) -> Result<(), ScanError> {
        if self.is_known(scan, place).await? {
            totals.known += 1;
            return Ok(());
        }
        let judged = match self.upload(scan, place, receipt).await? {
            Ok(upload) => self.vouched_for(scan, &upload).await.map(|()| upload),
            rejected => rejected,
        };
        let judged = match judged {
            // Another upload has this ID, or it was removed in the meantime.
            Ok(upload) if !self.dry_run && !self.ledger.adopt(&upload).await? => Err(Rejection::other()),
            other => other,
        };
        match judged {
            Ok(upload) => {
                totals.adopted += 1;
                let detail = format!("ticket {}, delivery {}", upload.ticket, upload.delivery.name());
                self.report(scan, "adopted", place.key, detail);
            }
            Err(rejection) if rejection.is_temporary => {
                totals.failed += 1;
                self.report(scan, "failed", place.key, rejection.detail);
            }
            Err(rejection) => {
                totals.refused += 1;
                self.report(scan, rejection.what, place.key, rejection.detail);
            }
        }
        Ok(())
    }

    /// The upload that receipt and object describe together.
    async fn upload(
        &self,
        scan: &Scan<'_>,
        place: &FileKey<'_>,
        receipt: &Object,
    ) -> Result<Result<Adopted, Rejection>, ScanError> {
        let Some(text) = text(scan.bucket, receipt).await? else { return Ok(Err(Rejection::no_receipt())) };
        let Some(found) = scan.bucket.head(place.key).await? else { return Ok(Err(Rejection::no_object())) };
        let read = read(&text, place, scan.name, &found);
        Ok(read.and_then(|upload| {
            if !(self.is_name)(&upload.name) {
                return Err(Rejection::no_receipt());
            }
            if !scan.partners.contains_key(&upload.partner_id) {
                return Err(Rejection::unknown_partner(&upload.partner_id));
            }
            Ok(upload)
        }))
    }

    /// A file belongs only to a ticket of its partner, and no other ticket gets a note. Only gateways write into the shared
    /// bucket. A partner may write receipts into its own bucket, with any ticket and delivery.
    async fn vouched_for(&mut self, scan: &Scan<'_>, upload: &Adopted) -> Result<(), Rejection> {
        if scan.name == SUPPORT_UPLOADER {
            return Ok(());
        }
        let organization = scan.partners.get(&upload.partner_id).and_then(|partner| partner.organization_id);
        let Some(organization) = organization else { return Err(Rejection::ticket()) };
        match self.owners.of(&upload.ticket).await {
            Ok(owner) if owner == Some(organization) => Ok(()),
            Ok(_) => Err(Rejection::ticket()),
            Err(why) => Err(Rejection::later(&why)),
        }
    }
}

/// A key without its last component.
fn folder_of(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The bytes of a receipt; none if the object is too large to be one, or gone.
async fn text(bucket: &Bucket, object: &Object) -> Result<Option<Vec<u8>>, ScanError> {
    if object.size > RECEIPT_BYTES_MAX {
        return Ok(None);
    }
    match bucket.read_small(&object.key, RECEIPT_BYTES_MAX).await {
        Err(bucket::Error::NotFound(_)) => Ok(None),
        read => Ok(read?),
    }
}
