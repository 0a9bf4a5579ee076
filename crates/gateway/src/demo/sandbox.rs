//! `weighbridge sandbox`: the embedded services alone, and the configuration of a gateway that uses them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use sandbox::{Listen, Sandbox};
use tokio::net::TcpSocket;

use super::secrets::{Secrets, write_private};
use super::seed;
use super::setup::{configuration, describe, forget, ledger_in, prepare};
use crate::output::say;
use crate::{serve, startup};

#[derive(Args)]
pub(crate) struct SandboxArguments {
    /// Folder for all data.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The ledger's URL, as `ledger.url` in a configuration, instead of `DIR/ledger.db`.
    #[arg(long, value_name = "URL", env = "WEIGHBRIDGE_SANDBOX_LEDGER", hide_env_values = true)]
    ledger: Option<String>,
}

pub(crate) async fn sandbox(arguments: &SandboxArguments) -> anyhow::Result<ExitCode> {
    let stop = serve::stop_signal()?;
    let (data, described) = prepare(&arguments.data, "sandbox.json")?;
    let sandbox = Sandbox::start(&data.join("sandbox"), Listen::any_port(), &seed::seed()).await?;
    forget(&described)?;
    let secrets = Secrets::of(&data)?;
    let ((listen, _reserved), (metrics_listen, _reserved_too)) = (reserve_address()?, reserve_address()?);
    let ledger = arguments.ledger.clone().map_or_else(|| ledger_in(&data), Ok)?;
    let text = configuration(&sandbox, &secrets, &ledger, listen, Some(metrics_listen))?;
    let config = crate::config::parse_text(&text).map_err(|mistakes| anyhow::anyhow!(mistakes.join("\n")))?;
    let ledger = startup::open_ledger(&config).await?;
    secrets.record(&ledger).await?;
    ledger.close().await;
    write_private(&data.join("serve.toml"), text.as_bytes())?;
    let mut description = describe(&sandbox, &secrets, &format!("http://{listen}"));
    description["faults"] = sandbox.faults_url.as_str().into();
    description["metrics"] = format!("http://{metrics_listen}/metrics").into();
    write_private(&described, format!("{description:#}\n").as_bytes())?;
    say(&format!(
        "The sandbox is running; its addresses are in {}. Run a gateway against it:",
        described.display()
    ))?;
    say(&format!("  weighbridge serve --config '{}'", data.join("serve.toml").display()))?;
    stop.await;
    forget(&described)?;
    sandbox.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// An address for the gateway. While the socket lives, nobody else gets its port; since it does not listen, a gateway can.
fn reserve_address() -> anyhow::Result<(SocketAddr, TcpSocket)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    Ok((socket.local_addr()?, socket))
}
