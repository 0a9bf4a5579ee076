//! `weighbridge demo`: everything in one process. It sends two sample files, so that there is something to see, and prints what
//! to try.

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use sandbox::{Listen, Sandbox};

use super::secrets::{Secrets, write_private};
use super::seed;
use super::setup::{configuration, describe, forget, ledger_in, prepare};
use crate::output::say;
use crate::serve;

#[derive(Args)]
pub(crate) struct DemoArguments {
    /// Folder for all data.
    #[arg(long, default_value = "weighbridge-demo", value_name = "DIR")]
    data: PathBuf,
    /// Address to listen on: a loopback address. Port 0 picks a free port.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: SocketAddr,
}

/// How often the demo asks its desk which tickets have changed, and looks into the bucket of `globex`.
const POLL_EVERY: Duration = Duration::from_secs(5);
/// In the data folder.
const LOG: &str = "weighbridge.log";
/// Variables that make curl use a proxy.
const CURL_PROXY_VARIABLES: [&str; 3] = ["http_proxy", "all_proxy", "ALL_PROXY"];
/// Larger than a ticket attachment, but sent in an instant.
const LARGE_SAMPLE_BYTES: usize = 25_000_000;

/// The complete log. The terminal shows receipts, commands and warnings.
pub(crate) fn log_file(arguments: &DemoArguments) -> anyhow::Result<std::fs::File> {
    let path = arguments.data.join(LOG);
    let open = || {
        std::fs::create_dir_all(&arguments.data)?;
        std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path)
    };
    open().with_context(|| format!("open {}", path.display()))
}

pub(crate) async fn demo(arguments: &DemoArguments) -> anyhow::Result<ExitCode> {
    if !arguments.listen.ip().is_loopback() {
        bail!(
            "the demo listens on loopback only, not on {}: its links are printed and never expire. \
             Use `weighbridge serve` for others to reach it",
            arguments.listen
        );
    }
    let stop = serve::stop_signal()?;
    let (data, described) = prepare(&arguments.data, "demo.json")?;
    let sandbox = Sandbox::start(&data.join("sandbox"), Listen::any_port(), &seed::seed()).await?;
    forget(&described)?;
    let listener = crate::http::listener::bind(arguments.listen).with_context(|| {
        format!("listen on {} (`--listen 127.0.0.1:0` picks a free port)", arguments.listen)
    })?;
    let address = listener.local_addr()?;
    let url = format!("http://{address}");
    let secrets = Secrets::of(&data)?;
    let text = configuration(&sandbox, &secrets, &ledger_in(&data)?, address, None)?;
    let mut config =
        crate::config::parse_text(&text).map_err(|mistakes| anyhow::anyhow!(mistakes.join("\n")))?;
    // Whoever tries the demo does not wait a minute.
    config.poll_every = POLL_EVERY;
    config.limits.watch_buckets_every = POLL_EVERY;
    let running = serve::start(&config, listener, url.clone()).await?;
    secrets.record(&running.state.ledger).await?;
    send_samples(&data, &url, &secrets).await?;
    let description = describe(&sandbox, &secrets, &url);
    write_private(&described, format!("{description:#}\n").as_bytes())?;
    for line in instructions(&data, &url, &secrets, &sandbox) {
        say(&line)?;
    }
    stop.await;
    let in_time = running.stop().await;
    forget(&described)?;
    sandbox.stop().await;
    Ok(if in_time { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends a small and a large file through the gateway, once per folder, and prints their receipts.
async fn send_samples(data: &Path, url: &str, secrets: &Secrets) -> anyhow::Result<()> {
    let done = data.join("samples-sent");
    let samples = data.join("samples");
    std::fs::create_dir_all(&samples).context("create samples")?;
    let [acme, globex] = &seed::PARTNERS;
    let small: &[u8] = b"2026-11-22T09:00:00Z ERROR worker 7: the connection was closed by its peer\n";
    let files = [(acme, "hello.log", small.to_vec()), (globex, "large.bin", noise(LARGE_SAMPLE_BYTES))];
    // A proxy in the environment must not see the link's token.
    let http = reqwest::Client::builder().no_proxy().build().context("prepare to send samples")?;
    for (partner, name, bytes) in files {
        let path = samples.join(name);
        if !path.exists() {
            std::fs::write(&path, &bytes).with_context(|| format!("write {}", path.display()))?;
        }
        if done.exists() {
            continue;
        }
        let target = format!("{url}/u/{}/{name}", secrets.link(partner.id));
        let answer = http.put(target).body(bytes).send().await.context("send sample")?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "the sample {name} was refused: {text}");
        say(text.trim_end())?;
        say("")?;
    }
    std::fs::write(&done, b"").context("record samples")
}

/// Bytes that do not compress, the same every time.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(bytes).collect()
}

/// Commands to paste.
fn instructions(data: &Path, url: &str, secrets: &Secrets, sandbox: &Sandbox) -> Vec<String> {
    let [acme, globex] = &seed::PARTNERS;
    let small = quoted(&data.join("samples").join("hello.log"));
    let large = quoted(&data.join("samples").join("large.bin"));
    let link = |partner: &seed::Partner| format!("{url}/u/{}/", secrets.link(partner.id));
    let proxied =
        CURL_PROXY_VARIABLES.into_iter().any(|name| std::env::var(name).is_ok_and(|text| !text.is_empty()));
    let direct = if proxied { " --noproxy '*'" } else { "" };
    let curl = format!("curl{direct} --fail-with-body --retry 5");
    let partner_link = format!("{url}/u/{}", secrets.partner_link(acme.id));
    let wb = wb();
    // On each line, so that each works alone. `wb` accepts no secret as an argument.
    let environment = format!("WEIGHBRIDGE_URL='{url}' WEIGHBRIDGE_TOKEN='{}'", secrets.staff_token());
    vec![
        format!("Weighbridge runs on {url}. Stop it with Ctrl-C; all data is kept in {}.", data.display()),
        String::new(),
        "Send files in a browser:".into(),
        format!("  {}", link(acme)),
        "Send a file with curl; up to 20 MB it is attached to the ticket:".into(),
        format!("  {curl} -T {small} -o receipt.txt '{}' && cat receipt.txt", link(acme)),
        "A larger file goes to the partner's bucket, with a note on the ticket:".into(),
        format!("  {curl} -T {large} -o receipt.txt '{}' && cat receipt.txt", link(globex)),
        "See what support sees, and download it, verified:".into(),
        format!("  {environment} {wb} ls"),
        format!("  {environment} {wb} get {} -o downloads", globex.ticket),
        "Open a ticket with a file, as a contact of the partner:".into(),
        format!(
            "  curl{direct} --fail-with-body -F contact={} -F customer=Initech -F case_number=T123456789 -F subject='Slow since \
             Monday' -F description='Every page takes ten seconds.' -F nfr=false -F file=@{small} '{partner_link}/tickets'",
            acme.contact
        ),
        "Escalate it by its case number:".into(),
        format!(
            "  curl{direct} --fail-with-body -F request=T123456789 -F reason='Production is down' -F actions='Call us' \
             -F urgency=1h '{partner_link}/escalate'"
        ),
        "See what reached the desk and Slack:".into(),
        format!(
            "  curl{direct} -s -H 'Authorization: {}' '{}/api/v2/search?query=type:ticket+T123456789'",
            sandbox.desk.authorization, sandbox.desk.url
        ),
        format!("  curl{direct} -s '{}/messages'", sandbox.slack.url),
        format!("  {environment} {wb} escalations"),
        format!("Addresses and tokens for programs: {}", data.join("demo.json").display()),
        format!("The log: {}", data.join(LOG).display()),
    ]
}

/// The CLI beside this program, or else the command that builds it.
fn wb() -> String {
    let beside =
        std::env::current_exe().ok().map(|path| path.with_file_name("wb")).filter(|path| path.exists());
    beside.map_or_else(|| "cargo run --release --bin wb --".into(), |path: PathBuf| quoted(&path))
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
