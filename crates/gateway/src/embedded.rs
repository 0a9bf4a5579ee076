//! `demo` and `sandbox`: the embedded S3 server, desk and Slack sink, and a gateway configured to use them over HTTP,
//! exactly as it uses real ones.

mod demo;
mod files;
mod seed;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use sandbox::{Listen, Sandbox};
use serde_json::json;
use tokio::net::TcpSocket;

pub(crate) use demo::{demo, log_file};
use files::{Secrets, write_private};

use crate::{say, serve};

#[derive(Args)]
pub(crate) struct DemoArguments {
    /// Where everything is kept.
    #[arg(long, default_value = "weighbridge-demo", value_name = "DIR")]
    data: PathBuf,
    /// Where to listen: a loopback address; port 0 picks one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: SocketAddr,
}

#[derive(Args)]
pub(crate) struct SandboxArguments {
    /// Where everything is kept.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where the ledger is, instead of `DIR/ledger.db`: as `ledger.url` in a configuration.
    #[arg(long, value_name = "URL", env = "WEIGHBRIDGE_SANDBOX_LEDGER", hide_env_values = true)]
    ledger: Option<String>,
}

/// Runs the embedded services alone and writes the configuration of a gateway that uses them.
pub(crate) async fn sandbox(arguments: &SandboxArguments) -> anyhow::Result<ExitCode> {
    let stop = serve::stop_signal()?;
    let (data, described) = prepare(&arguments.data, "sandbox.json")?;
    let sandbox = Sandbox::start(&data.join("sandbox"), Listen::any_port(), &seed::seed()).await?;
    forget(&described)?;
    let secrets = Secrets::of(&data)?;
    let ((listen, _reserved), (metrics_listen, _reserved_too)) = (reserve_address()?, reserve_address()?);
    let ledger = arguments.ledger.clone().map_or_else(|| ledger_in(&data), Ok)?;
    let text = configuration(&sandbox, &ledger, listen, Some(metrics_listen))?;
    let config = crate::config::parse_text(&text).map_err(|mistakes| anyhow::anyhow!(mistakes.join("\n")))?;
    let ledger = serve::open_ledger(&config).await?;
    secrets.record(&ledger).await?;
    ledger.close().await;
    write_private(&data.join("serve.toml"), text.as_bytes())?;
    let mut description = describe(&sandbox, &secrets, &format!("http://{listen}"));
    description["faults"] = sandbox.faults_url.as_str().into();
    description["slack"] = sandbox.slack_url.as_str().into();
    description["metrics"] = format!("http://{metrics_listen}/metrics").into();
    write_private(&described, format!("{description:#}\n").as_bytes())?;
    say(&format!("The sandbox runs. {} says where. Run a gateway against it:", described.display()))?;
    say(&format!("  weighbridge serve --config '{}'", data.join("serve.toml").display()))?;
    stop.await;
    forget(&described)?;
    sandbox.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Makes the folder; answers it, and the file that says that everything runs.
fn prepare(data: &Path, described: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
    std::fs::create_dir_all(data).with_context(|| format!("create {}", data.display()))?;
    let data = data.canonicalize().with_context(|| format!("open {}", data.display()))?;
    let described = data.join(described);
    Ok((data, described))
}

/// Removes the file that says that everything runs. Only whoever holds the folder's sandbox may: it is theirs.
fn forget(described: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(described) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("remove {}: {error}", described.display())
        }
        _ => Ok(()),
    }
}

/// An address for the gateway. While the socket lives nobody else is given its port, also while no gateway runs; since it
/// does not listen, a gateway can.
fn reserve_address() -> anyhow::Result<(SocketAddr, TcpSocket)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    Ok((socket.local_addr()?, socket))
}

/// The address of the ledger that lies in this folder.
fn ledger_in(data: &Path) -> anyhow::Result<String> {
    let path = data.join("ledger.db");
    Ok(format!("sqlite:{}", path.to_str().context("the folder's path must be UTF-8")?))
}

/// The configuration of a gateway that uses this sandbox, and the ledger of that address.
fn configuration(
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
    // There is no load balancer that would have to hear of a stop.
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

/// What `demo.json` and `sandbox.json` have in common.
fn describe(sandbox: &Sandbox, secrets: &Secrets, url: &str) -> serde_json::Value {
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
