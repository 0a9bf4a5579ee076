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
    ledger: &str,
    listen: SocketAddr,
    metrics_listen: Option<SocketAddr>,
) -> anyhow::Result<String> {
    let bucket = |name: &str| {
        let mut table = toml::Table::new();
        table.insert("bucket".into(), name.into());
        table.insert("endpoint".into(), sandbox.s3.endpoint.clone().into());
        table.insert("public_endpoint".into(), sandbox.s3.endpoint.clone().into());
        table.insert("region".into(), sandbox.s3.region.clone().into());
        table.insert("path_style".into(), true.into());
        table.insert("access_key_id".into(), sandbox.s3.access_key_id.clone().into());
        table.insert("secret_access_key".into(), sandbox.s3.secret_access_key.clone().into());
        table
    };
    let mut server = toml::Table::new();
    server.insert("listen".into(), listen.to_string().into());
    if let Some(address) = metrics_listen {
        server.insert("metrics_listen".into(), address.to_string().into());
    }
    let mut partners = toml::Table::new();
    for partner in seed::PARTNERS {
        let mut table = toml::Table::new();
        table.insert("name".into(), partner.name.into());
        table.insert("organization_id".into(), i64::try_from(partner.organization_id)?.into());
        if let Some(name) = partner.bucket {
            table.insert("bucket".into(), bucket(name).into());
        }
        partners.insert(partner.id.into(), table.into());
    }
    let mut root = toml::Table::new();
    root.insert("server".into(), server.into());
    root.insert("ledger".into(), toml::Table::from_iter([("url".into(), ledger.into())]).into());
    // There is no load balancer that has to learn of a stop.
    root.insert("limits".into(), toml::Table::from_iter([("drain_notice".into(), "0s".into())]).into());
    root.insert(
        "desk".into(),
        toml::Table::from_iter([
            ("kind".into(), "zendesk".into()),
            ("url".into(), sandbox.desk.url.clone().into()),
            ("client_id".into(), sandbox.desk.client_id.clone().into()),
            ("client_secret".into(), sandbox.desk.client_secret.clone().into()),
        ])
        .into(),
    );
    root.insert("support_uploader".into(), bucket(seed::SUPPORT_UPLOADER_BUCKET).into());
    root.insert("partners".into(), partners.into());
    Ok(toml::to_string(&root)?)
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
    json!({
        "url": url,
        "links": links,
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
