//! The gateway under test: built, configured and started as an operator would.
//! A new process for each run, so that CPU time and peak memory belong to that run.

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::{process::Process, sink::BUCKET};

/// Long enough for a cold start on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// The gateway's byte budget: the figure peak memory is to be read against.
pub const MEMORY_BYTES: u64 = 256 << 20;

/// A gateway that has a partner and a link, not yet running.
pub struct Gateway {
    binary: PathBuf,
    config: PathBuf,
    address: String,
    link: String,
}

pub struct Running {
    /// The process, for its figures.
    pub process: Process,
}

impl Gateway {
    /// Where sender `name` puts its file. Names differ: the same file again on the same link would be taken for a retry.
    pub fn upload_url(&self, name: &str) -> String {
        format!("{}/{name}", self.link)
    }

    /// Starts it and waits until it accepts connections.
    pub fn start(&self) -> anyhow::Result<Running> {
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--config").arg(&self.config).stdin(Stdio::null()).stdout(Stdio::null());
        let log = self.config.with_file_name("gateway.log");
        command.stderr(fs::File::create(&log)?);
        let mut process = Process::start(&mut command)?;
        let started = Instant::now();
        while TcpStream::connect(&self.address).is_err() {
            if process.child().try_wait()?.is_some() || started.elapsed() > START_TIMEOUT {
                bail!("the gateway did not start: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Running { process })
    }
}

/// The program that `WEIGHBRIDGE_BENCH_PROGRAM` names; else the release binary beside the benchmark's own, brought up to date
/// first.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(named) = env::var_os("WEIGHBRIDGE_BENCH_PROGRAM") {
        let binary = PathBuf::from(named);
        return binary.canonicalize().with_context(|| format!("find `{}`", binary.display()));
    }
    // `target/release/deps/throughput-HASH` is this program.
    let program = env::current_exe()?;
    let folder = program.parent().and_then(Path::parent).context("find the target folder")?;
    let binary = folder.join(format!("weighbridge{}", env::consts::EXE_SUFFIX));
    // Cargo knows whether the binary is older than its sources; a benchmark of yesterday's would mislead.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--bin", "weighbridge"])
        // The whole workspace, as the README builds it: for one package alone cargo would choose other features.
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .status()
        .context("run cargo build")?;
    if !status.success() || !binary.is_file() {
        bail!("`{}` could not be built", binary.display());
    }
    Ok(binary)
}

/// Writes a configuration into `folder`, and adds a partner with a link. The desk is an address where nobody listens:
/// a bound link never waits for it.
pub fn prepare_gateway(folder: &Path, binary: PathBuf, sink: &str) -> anyhow::Result<Gateway> {
    let address = free_address()?;
    let desk = free_address()?;
    let ledger = folder.join("ledger.sqlite");
    let text = format!(
        r#"[server]
listen = "{address}"
public_url = "http://{address}"

[ledger]
url = "sqlite:{ledger}"

[limits]
memory_bytes = {MEMORY_BYTES}

[desk]
kind = "zendesk"
url = "http://{desk}"
email = "bench@example.com"
api_token = "none"

[support_uploader]
bucket = "{BUCKET}"
endpoint = "{sink}"
region = "us-east-1"
path_style = true
access_key_id = "bench"
secret_access_key = "bench-secret"
"#,
        ledger = ledger.display()
    );
    let config = folder.join("weighbridge.toml");
    fs::write(&config, text)?;
    let admin = |arguments: &[&str]| -> anyhow::Result<String> {
        let output = Command::new(&binary).arg("--config").arg(&config).args(arguments).output()?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!(
                "`weighbridge {}`: {stdout}{}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(stdout)
    };
    admin(&["partner", "add", "bench", "--name", "Bench"])?;
    let answer = admin(&["link", "create", "--partner", "bench", "--ticket", "1", "--max-open", "2000"])?;
    let link = find_link(&answer, &address).with_context(|| format!("find the link in `{answer}`"))?;
    Ok(Gateway { binary, config, address, link })
}

/// Finds the upload link in the output of `link create`.
fn find_link(answer: &str, address: &str) -> Option<String> {
    let start = answer.find(&format!("http://{address}/u/"))?;
    let link: &str =
        answer[start..].split(|c: char| c.is_whitespace() || matches!(c, '"' | ',' | '\'')).next()?;
    Some(link.trim_end_matches('/').to_owned())
}

/// A loopback port that was free a moment ago.
fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_is_found_in_text_and_json() {
        for answer in [
            "http://h:1/u/AB_c-9\n",
            "{\"url\":\"http://h:1/u/AB_c-9\",\"id\":1}",
            "link: http://h:1/u/AB_c-9/ until",
        ] {
            assert_eq!(find_link(answer, "h:1").as_deref(), Some("http://h:1/u/AB_c-9"), "{answer}");
        }
        assert_eq!(find_link("no link", "h:1"), None);
    }
}
