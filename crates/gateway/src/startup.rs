//! Opens what `serve` and the admin commands work with: ledger, buckets, the upload engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use access::TicketCheck;
use anyhow::Context as _;
use bucket::{Bucket, Buckets};
use desk::Desk;
use desk::slack::Slack;
use ledger::Ledger;
use tickets::Tickets;
use tokio::sync::Notify;

use crate::config::{Config, Partner};
use crate::hooks::Hooks;

/// Opens the ledger, migrates it, and records the partners of the configuration.
pub(crate) async fn open_ledger(config: &Config) -> anyhow::Result<Ledger> {
    let ledger = Ledger::open(config.ledger_url.reveal())
        .await
        .with_context(|| format!("open ledger {}", config.ledger_url))?;
    ledger.migrate().await.context("migrate ledger")?;
    for (id, partner) in &config.partners {
        ledger.put_partner(id, &partner.name, partner.organization_id).await.context("record partner")?;
    }
    Ok(ledger)
}

/// What the operator has decided about tickets, and who may open them.
pub(crate) fn tickets(config: &Config, ledger: &Ledger, desk: &Desk) -> Tickets {
    let lookups_per_minute = config.limits.link_ticket_lookups_per_minute;
    let check = Arc::new(TicketCheck::new(ledger.clone(), desk.clone(), lookups_per_minute));
    Tickets::new(ledger.clone(), desk.clone(), check, config.policy())
}

/// The secrets of hooks, and the client for Slack.
pub(crate) fn hooks(config: &Config) -> anyhow::Result<Hooks> {
    let secret = |(id, partner): (&String, &Partner)| {
        Some((id.clone(), ledger::hash_token(&partner.workflow_secret.as_ref()?.0)))
    };
    Ok(Hooks {
        zendesk_secret: config.webhook_secret.clone().map(|secret| secret.0),
        slack: config.slack.clone().map(Slack::new).transpose().context("prepare Slack")?,
        workflow_hashes: config.partners.iter().filter_map(secret).collect(),
    })
}

/// Makes a client for each bucket.
pub(crate) async fn open_buckets(config: &Config) -> Buckets {
    let shared = Bucket::new(config.support_uploader.clone()).await;
    let mut partners = BTreeMap::new();
    for (id, partner) in &config.partners {
        if let Some(own) = &partner.bucket {
            partners.insert(id.clone(), Bucket::new(own.clone()).await);
        }
    }
    Buckets::new(shared, partners)
}

/// The upload engine. It notifies `completed` when there are jobs to do.
pub(crate) fn engine(
    config: &Config,
    ledger: &Ledger,
    buckets: &Buckets,
    completed: Arc<Notify>,
) -> upload::Uploads {
    let limits = upload::Limits {
        memory_bytes: config.limits.memory_bytes,
        max_upload_bytes: config.limits.max_upload_bytes,
        ticket_attachment_bytes: config.limits.ticket_attachment_bytes,
        link_open_uploads_max: config.limits.link_open_uploads,
        link_unfinished_bytes_max: config.limits.link_unfinished_bytes,
        resume_window: config.limits.resume_window,
        storage_wait: config.limits.storage_wait,
    };
    upload::Uploads::new(ledger.clone(), buckets.clone(), limits, completed)
}
