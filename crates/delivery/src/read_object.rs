//! Reads an object that a partner put into its own bucket, for its SHA-256. Each run reads one, so that partners take turns.

use bucket::chain;
use ledger::{Job, PartnerObject};

use crate::error::JobError;
use crate::shared::Shared;

/// After so many attempts, the object is left until support asks for it again.
const ATTEMPTS_MAX: i64 = 5;

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    let partner_id = job.subject.as_str();
    let Some(object) = shared.ledger.next_unread_object(partner_id).await? else {
        return Ok(shared.ledger.finish_job(&job.id).await?);
    };
    let read = read(shared, &object).await;
    let read = match &read {
        Ok(sha256) => Ok(sha256.as_str()),
        Err(error) if error.is_transient() && job.attempts + 1 < ATTEMPTS_MAX => return Ok(read.map(drop)?),
        Err(bucket::Error::NotFound(_)) => Err("the object is gone".to_owned()),
        Err(bucket::Error::Changed) => Err("the object has changed since it was listed".to_owned()),
        Err(error) => Err(chain(error)),
    };
    let read = read.as_ref().map(|sha256| *sha256).map_err(String::as_str);
    Ok(shared.ledger.read_object(&job.id, &object, read).await?)
}

async fn read(shared: &Shared, object: &PartnerObject) -> bucket::Result<String> {
    let (_, bucket) = shared.buckets.of_partner(&object.partner_id);
    let (sha256, bytes) = bucket.sha256(&object.object_key, &object.etag).await?;
    if bytes != object.size_bytes {
        let why = format!("the store sent {bytes} of {} bytes", object.size_bytes);
        return Err(bucket::Error::Unavailable(why));
    }
    Ok(sha256)
}
