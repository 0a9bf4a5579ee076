//! What `demo` and `sandbox` have in common: their folder, the gateway's configuration, and the file that describes everything.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sandbox::Sandbox;
use serde_json::json;

use super::secrets::Secrets;
use super::seed;

/// Makes the folder. Returns it, and the path of the file that describes the running sandbox.
pub(super) fn prepare(data: &Path, described: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
    std::fs::create_dir_all(data).with_context(|| format!("create {}", data.display()))?;
    let data = data.canonicalize().with_context(|| format!("open {}", data.display()))?;
    let described = data.join(described);
    Ok((data, described))
}

/// Removes the file that describes the running sandbox. Only the process that holds the folder's sandbox may.
pub(super) fn forget(described: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(described) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("remove {}: {error}", described.display())
        }
        _ => Ok(()),
    }
}

/// The URL of the ledger in this folder.
pub(super) fn ledger_in(data: &Path) -> anyhow::Result<String> {
    let path = data.join("ledger.db");
    Ok(format!("sqlite:{}", path.to_str().context("the folder's path must be UTF-8")?))
}

/// The configuration of a gateway that uses this sandbox and ledger.
pub(super) fn configuration(
    sandbox: &Sandbox,
    secrets: &Secrets,
    ledger: &str,
    listen: SocketAddr,
    metrics_listen: Option<SocketAddr>,
) -> anyhow::Result<String> {
    let bucket = |name: &str| {
        json!({
            "bucket": name, "endpoint": sandbox.s3.endpoint, "public_endpoint": sandbox.s3.endpoint,
            "region": sandbox.s3.region, "path_style": true,
            "access_key_id": sandbox.s3.access_key_id, "secret_access_key": sandbox.s3.secret_access_key,
        })
    };
    let mut root = json!({
        "server": { "listen": listen },
        "ledger": { "url": ledger },
        // There is no load balancer that has to learn of a stop.
        "limits": { "drain_notice": "0s" },
        "desk": {
            "kind": "zendesk", "url": sandbox.desk.url,
            "client_id": sandbox.desk.client_id, "client_secret": sandbox.desk.client_secret,
            "webhook_secret": secrets.webhook_secret(),
        },
        "slack": {
            "api_url": format!("{}/api", sandbox.slack.url),
            "bot_token": sandbox.slack.bot_token, "signing_secret": sandbox.slack.signing_secret,
        },
        "support": {
            "ask": "Sam Example, customer success, sam@support.example",
            "nfr_page": "https://support.example/not-for-resale",
            "leaders_channel": seed::LEADERS_CHANNEL,
        },
        "support_uploader": bucket(seed::SUPPORT_UPLOADER_BUCKET),
    });
    if let Some(address) = metrics_listen {
        root["server"]["metrics_listen"] = json!(address);
    }
    for partner in seed::PARTNERS {
        let table = &mut root["partners"][partner.id];
        *table = json!({
            "name": partner.name, "organization_id": partner.organization_id,
            "slack_channel": partner.slack_channel, "workflow_secret": secrets.workflow_secret(partner.id),
        });
        if let Some(name) = partner.bucket {
            table["bucket"] = bucket(name);
        }
    }
    // Through a table, which writes values before tables.
    Ok(toml::to_string(&toml::Table::try_from(root)?)?)
}

/// The common part of `demo.json` and `sandbox.json`.
pub(super) fn describe(sandbox: &Sandbox, secrets: &Secrets, url: &str) -> serde_json::Value {
    let link = |partner: &seed::Partner| {
        let url = format!("{url}/u/{}", secrets.link(partner.id));
        (partner.id.to_owned(), json!({ "url": url, "ticket": partner.ticket }))
    };
    let links: serde_json::Map<_, _> = seed::PARTNERS.iter().map(link).collect();
    let buckets: serde_json::Map<_, _> = seed::PARTNERS
        .iter()
        .filter_map(|partner| Some((partner.id.to_owned(), partner.bucket?.into())))
        .collect();
    let by_partner = |of: &dyn Fn(&seed::Partner) -> serde_json::Value| -> serde_json::Map<_, _> {
        seed::PARTNERS.iter().map(|partner| (partner.id.to_owned(), of(partner))).collect()
    };
    let partner_links =
        by_partner(&|partner| json!({ "url": format!("{url}/u/{}", secrets.partner_link(partner.id)) }));
    json!({
        "url": url,
        "links": links,
        "partner_links": partner_links,
        "contacts": by_partner(&|partner| partner.contact.into()),
        "hooks": {
            "zendesk_secret": secrets.webhook_secret(), "slack_signing_secret": sandbox.slack.signing_secret,
            "workflow_secrets": by_partner(&|partner| secrets.workflow_secret(partner.id).into()),
        },
        "slack": {
            "url": sandbox.slack.url, "messages": format!("{}/messages", sandbox.slack.url),
            "channels": by_partner(&|partner| partner.slack_channel.into()), "leaders_channel": seed::LEADERS_CHANNEL,
        },
        "staff_token": secrets.staff_token(),
        "desk": { "url": sandbox.desk.url, "authorization": sandbox.desk.authorization },
        "s3": {
            "endpoint": sandbox.s3.endpoint,
            "region": sandbox.s3.region,
            "access_key_id": sandbox.s3.access_key_id,
            "secret_access_key": sandbox.s3.secret_access_key,
            "support_uploader_bucket": seed::SUPPORT_UPLOADER_BUCKET,
            "partner_buckets": buckets,
        },
    })
}
