//! `wb verify --object`: lets the gateway read objects that a partner put into its own bucket, and prints their SHA-256.

use std::time::Duration;

use anyhow::Context;
use api::BucketObject;

use crate::exit::{Status, failed};
use crate::gateway::client::Gateway;
use crate::output::{self, Output, cell};

/// The gateway is asked again after this time, then less and less often.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

pub(super) async fn run(
    gateway: &Gateway,
    partner: &str,
    keys: &[String],
    output: &Output,
) -> anyhow::Result<Status> {
    let mut status = Status::Done;
    for key in keys {
        let read = read(gateway, partner, key).await.and_then(|object| print(&object, output));
        output.note_failure(&mut status, read.with_context(|| format!("`{key}`")))?;
    }
    Ok(status)
}

/// Waits until the gateway has read the object.
async fn read(gateway: &Gateway, partner: &str, key: &str) -> anyhow::Result<BucketObject> {
    let mut object = gateway.read_object(partner, key).await?;
    let mut pause = PAUSE;
    while object.unverified {
        if let Some(problem) = object.problem {
            return Err(failed(format!("the gateway cannot read it: {problem}")));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
        object = gateway.object(partner, key).await?;
    }
    Ok(object)
}

fn print(object: &BucketObject, output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        return output.object(object);
    }
    let sha256 = cell(object.sha256.as_deref());
    output.line(&format!("{}  {}  sha256 {sha256}", object.key, output::size(object.size)))
}
