//! Takes complete uploads back into a ledger that has lost them, from the receipts beside their objects.
//! Invariant: nothing is believed that the object beside it does not bear out; of a partner's own bucket nothing that
//! concerns another partner; and nothing in a bucket is changed.

mod owners;
mod read;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use bucket::{Bucket, Buckets, Object, SUPPORT_UPLOADER, layout};
use futures_util::StreamExt as _;
use ledger::{Adopted, Ledger, Partner, State};

pub use owners::Owners;
use read::{Doubt, Place, read};

/// A receipt has less than 2 KB with the longest name.
const RECEIPT_BYTES_MAX: i64 = 64 * 1024;
/// An upload's folder holds one file and its receipt; somebody else's folder is not held back for ever.
const HELD_MAX: usize = 100;
/// Of a bucket, so many objects without a receipt are told by name: a partner may keep millions of its own there.
const UNVERIFIED_NAMED_MAX: u64 = 1_000;

/// How many of what were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sum {
    /// Taken into the ledger, or to be taken.
    pub adopted: u64,
    /// In the ledger already.
    pub known: u64,
    /// Receipts that were not believed.
    pub refused: u64,
    /// Objects without a receipt.
    pub unverified: u64,
    /// Buckets that could not be looked through, and uploads that could not be judged now: run it again.
    pub failed: u64,
}

/// Something worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `adopted`, `unverified`, `failed`, or why a receipt was refused.
    pub what: &'static str,
    /// Configured bucket.
    pub bucket: String,
    /// Key of the object, or of the bare receipt.
    pub key: String,
    /// What to do about it; for an adopted one, its ticket and delivery.
    pub detail: String,
}

/// Looks through the buckets.
pub struct Adopter<'a> {
    /// Takes what is found.
    pub ledger: &'a Ledger,
    /// Where to look.
    pub buckets: &'a Buckets,
    /// Say whose a ticket is, where a receipt's word is not enough.
    pub owners: Owners<'a>,
    /// Whether a file may be called so.
    pub is_name: fn(&str) -> bool,
    /// Only look.
    pub dry_run: bool,
    /// Is told of each finding as it is made.
    pub tell: &'a mut dyn FnMut(Finding),
}

/// Why the look goes no further.
enum Trouble {
    Ledger(ledger::Error),
    Bucket(bucket::Error),
}

impl From<ledger::Error> for Trouble {
    fn from(error: ledger::Error) -> Self {
        Self::Ledger(error)
    }
}

impl From<bucket::Error> for Trouble {
    fn from(error: bucket::Error) -> Self {
        Self::Bucket(error)
    }
}

/// A bucket as it is looked through.
struct Look<'a> {
    name: &'a str,
    bucket: &'a Bucket,
    partners: &'a HashMap<String, Partner>,
}

impl Adopter<'_> {
    /// Looks through every bucket, and takes what it may.
    ///
    /// # Errors
    /// [`ledger::Error::Unavailable`]. A bucket that cannot be looked through is told of.
    pub async fn run(&mut self) -> ledger::Result<Sum> {
        let partners = self.ledger.partners().await?;
        let partners = partners.into_iter().map(|partner| (partner.id.clone(), partner)).collect();
        let mut sum = Sum::default();
        for (name, bucket) in self.buckets.all() {
            let look = Look { name, bucket, partners: &partners };
            match Box::pin(self.bucket(&look, &mut sum)).await {
                Ok(()) => {}
                Err(Trouble::Ledger(error)) => return Err(error),
                Err(Trouble::Bucket(error)) => {
                    sum.failed += 1;
                    self.told(&look, "failed", "", format!("{error}; run this again when it answers"));
                }
            }
        }
        Ok(sum)
    }

    fn told(&mut self, look: &Look<'_>, what: &'static str, key: &str, detail: String) {
        (self.tell)(Finding { what, bucket: look.name.to_owned(), key: key.to_owned(), detail });
    }

    /// Objects come by key, so those of one upload come together.
    async fn bucket(&mut self, look: &Look<'_>, sum: &mut Sum) -> Result<(), Trouble> {
        let others = self.buckets.prefixes_inside(look.name);
        let pieces = layout::hidden_prefix(look.bucket.prefix());
        let mut held: Vec<Object> = Vec::new();
        let (mut next, mut unverified) = (None, 0);
        loop {
            let page = look.bucket.list(look.bucket.prefix(), next.as_deref()).await?;
            for object in page.objects {
                let is_marker = object.size == 0 && object.key.ends_with('/');
                let is_elsewhere = others.iter().any(|other| object.key.starts_with(other));
                if is_marker || is_elsewhere || object.key.starts_with(&pieces) {
                    continue;
                }
                let goes_on = held.first().is_some_and(|first| folder(&first.key) == folder(&object.key));
                if !held.is_empty() && (!goes_on || held.len() == HELD_MAX) {
                    self.folder(look, std::mem::take(&mut held), &mut unverified, sum).await?;
                }
                held.push(object);
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        self.folder(look, held, &mut unverified, sum).await?;
        sum.unverified += unverified;
        Ok(())
    }

    /// The objects of one folder.
    async fn folder(
        &mut self,
        look: &Look<'_>,
        objects: Vec<Object>,
        unverified: &mut u64,
        sum: &mut Sum,
    ) -> Result<(), Trouble> {
        let keys: HashSet<&str> = objects.iter().map(|object| object.key.as_str()).collect();
        for object in &objects {
            let place = Place::of(look.bucket.prefix(), &object.key);
            let of = layout::receipt_subject(&object.key).filter(|of| keys.contains(of));
            if let Some(of) = of.and_then(|of| Place::of(look.bucket.prefix(), of)) {
                Box::pin(self.judge(look, &of, object, sum)).await?;
                continue;
            }
            if keys.contains(layout::receipt_key(&object.key).as_str()) && place.is_some() {
                continue;
            }
            if let Some(place) = &place
                && self.is_known(look, place).await?
            {
                sum.known += 1;
            } else if self.is_bare_receipt(look, place.as_ref(), object).await? {
                sum.refused += 1;
                let detail =
                    "the object it is of is not there: look for it in a backup of the bucket".to_owned();
                self.told(look, "no-object", &object.key, detail);
            } else {
                *unverified += 1;
                if *unverified <= UNVERIFIED_NAMED_MAX {
                    let detail = format!("{} bytes without a receipt: nobody vouches for it", object.size);
                    self.told(look, "unverified", &object.key, detail);
                }
            }
        }
        Ok(())
    }

    /// Whether the ledger has this very upload at its end.
    async fn is_known(&self, look: &Look<'_>, place: &Place<'_>) -> ledger::Result<bool> {
        match self.ledger.upload(place.id).await {
            Ok(upload) => Ok(upload.bucket == look.name
                && upload.object_key == place.key
                && matches!(upload.state, State::Complete | State::Removed)),
            Err(ledger::Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A receipt whose object is not there, rather than a file that is called like one.
    async fn is_bare_receipt(
        &self,
        look: &Look<'_>,
        place: Option<&Place<'_>>,
        object: &Object,
    ) -> Result<bool, Trouble> {
        let of = layout::receipt_subject(&object.key).and_then(|of| Place::of(look.bucket.prefix(), of));
        let (Some(_), Some(of)) = (place, of) else { return Ok(false) };
        let Some(text) = text(look.bucket, object).await? else { return Ok(false) };
        Ok(read::is_of(&text, &of))
    }

    /// Decides about one receipt.
    async fn judge(
        &mut self,
        look: &Look<'_>,
        place: &Place<'_>,
        receipt: &Object,
        sum: &mut Sum,
    ) -> Result<(), Trouble> {
        if self.is_known(look, place).await? {
            sum.known += 1;
            return Ok(());
        }
        let judged = match self.upload(look, place, receipt).await? {
            Ok(upload) => self.vouched_for(look, &upload).await.map(|()| upload),
            doubted => doubted,
        };
        let judged = match judged {
            // Another one at this id, or one that was removed meanwhile.
            Ok(upload) if !self.dry_run && !self.ledger.adopt(&upload).await? => Err(Doubt::other()),
            other => other,
        };
        match judged {
            Ok(upload) => {
                sum.adopted += 1;
                let detail = format!("ticket {}, delivery {}", upload.ticket, upload.delivery.name());
                self.told(look, "adopted", place.key, detail);
            }
            Err(doubt) if doubt.passes => {
                sum.failed += 1;
                self.told(look, "failed", place.key, doubt.detail);
            }
            Err(doubt) => {
                sum.refused += 1;
                self.told(look, doubt.what, place.key, doubt.detail);
            }
        }
        Ok(())
    }

    /// The upload that receipt and object tell of together.
    async fn upload(
        &self,
        look: &Look<'_>,
        place: &Place<'_>,
        receipt: &Object,
    ) -> Result<Result<Adopted, Doubt>, Trouble> {
        let Some(text) = text(look.bucket, receipt).await? else { return Ok(Err(Doubt::no_receipt())) };
        let Some(found) = look.bucket.head(place.key).await? else { return Ok(Err(Doubt::no_object())) };
        let read = read(&text, place, look.name, &found);
        Ok(read.and_then(|upload| {
            if !(self.is_name)(&upload.name) {
                return Err(Doubt::no_receipt());
            }
            if !look.partners.contains_key(&upload.partner_id) {
                return Err(Doubt::unknown_partner(&upload.partner_id));
            }
            Ok(upload)
        }))
    }

    /// A file stands only on a ticket that is the partner's, and a note goes to no other. Into the shared bucket nobody but
    /// gateways write; into a partner's own the partner may write receipts, too, and name tickets and deliveries in them.
    async fn vouched_for(&mut self, look: &Look<'_>, upload: &Adopted) -> Result<(), Doubt> {
        if look.name == SUPPORT_UPLOADER {
            return Ok(());
        }
        let organization = look.partners.get(&upload.partner_id).and_then(|partner| partner.organization_id);
        let Some(organization) = organization else { return Err(Doubt::ticket()) };
        match self.owners.of(&upload.ticket).await {
            Ok(owner) if owner == Some(organization) => Ok(()),
            Ok(_) => Err(Doubt::ticket()),
            Err(why) => Err(Doubt::later(&why)),
        }
    }
}

/// Everything of a key but its last component.
fn folder(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The bytes of a receipt; none when it is too large to be one, or gone.
async fn text(bucket: &Bucket, object: &Object) -> Result<Option<Vec<u8>>, Trouble> {
    if object.size > RECEIPT_BYTES_MAX {
        return Ok(None);
    }
    let read = match bucket.read(&object.key, None).await {
        Err(bucket::Error::NotFound(_)) => return Ok(None),
        other => other?,
    };
    if read.length > RECEIPT_BYTES_MAX {
        return Ok(None);
    }
    let (mut text, mut frames) = (Vec::new(), Box::pin(read.stream()));
    while let Some(frame) = frames.next().await {
        text.extend_from_slice(&frame?);
    }
    Ok(Some(text))
}
