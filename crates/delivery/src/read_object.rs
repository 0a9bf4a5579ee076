//! Reads an object that a partner put into its own bucket, for its SHA-256. Each run reads one, so that partners take turns.

use std::time::Duration;

use bucket::chain;
use ledger::{Job, PartnerObject, SeenObject};

use crate::error::JobError;
use crate::shared::Shared;

/// A bucket that delivers more slowly is asked again later, so that it does not keep a worker. Bytes per second.
const RATE_MIN: u64 = 1_000_000;
/// After so many failures in a row, over about ten minutes, an object does not hold up the others any longer. Support can ask for
/// it again.
const ATTEMPTS_MAX: i64 = 10;
/// For small objects.
const TIME_MIN: Duration = Duration::from_secs(60);

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    let partner_id = job.subject.as_str();
    let Some(object) = shared.ledger.next_unread_object(partner_id).await? else {
        return Ok(shared.ledger.finish_job(&job.id).await?);
    };
    let read = read(shared, &object).await;
    let read = match &read {
        Ok(sha256) => Ok(sha256.as_str()),
        Err(bucket::Error::Changed) if job.attempts < ATTEMPTS_MAX => {
            look_again(shared, &object).await?;
            return Ok(read.map(drop)?);
        }
        Err(error) if error.is_transient() && job.attempts < ATTEMPTS_MAX => return Ok(read.map(drop)?),
        Err(bucket::Error::NotFound(_)) => Err("the object is gone".to_owned()),
        Err(error) => Err(chain(error)),
    };
    let read = read.as_ref().map(|sha256| *sha256).map_err(String::as_str);
    Ok(shared.ledger.read_object(&job.id, &object, read).await?)
}

async fn read(shared: &Shared, object: &PartnerObject) -> bucket::Result<String> {
    let (_, bucket) = shared.buckets.of_partner(&object.partner_id);
    let size = u64::try_from(object.size_bytes).unwrap_or_default();
    let time = TIME_MIN + Duration::from_secs(size / RATE_MIN);
    let read = tokio::time::timeout(time, bucket.sha256(&object.object_key, &object.etag)).await;
    let (sha256, bytes) = read.map_err(|_| bucket::Error::Unavailable("it sends too slowly".into()))??;
    if bytes != object.size_bytes {
        let why = format!("the store sent {bytes} of {} bytes", object.size_bytes);
        return Err(bucket::Error::Unavailable(why));
    }
    Ok(sha256)
}

/// Records that the object was replaced. The next attempt reads the new one.
async fn look_again(shared: &Shared, object: &PartnerObject) -> Result<(), JobError> {
    let (_, bucket) = shared.buckets.of_partner(&object.partner_id);
    let Some(found) = bucket.head(&object.object_key).await? else { return Ok(()) };
    let Some(etag) = found.etag else { return Ok(()) };
    let seen = SeenObject { key: object.object_key.clone(), ticket: None, size_bytes: found.size, etag };
    Ok(shared.ledger.saw_objects(&object.partner_id, &[seen], false).await?)
}
