//! The log on standard error, as text or JSON: our own crates at the configured level, and libraries if something is wrong.
//! Invariant: libraries are quiet unless a filter names them, since some log whole requests.

use std::fs::File;
use std::io::IsTerminal as _;
use std::sync::Mutex;

use anyhow::Context as _;
use tracing::Level;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt as _};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Format {
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) format: Format,
    /// A level, or a filter such as `info,upload=debug`. The default is `info`.
    pub(crate) level: Option<String>,
}

/// The first of these that is set overrides the configuration.
const VARIABLES: [&str; 2] = ["WEIGHBRIDGE_LOG", "RUST_LOG"];
/// Targets that log at the configured level.
const OURS: [&str; 7] = ["weighbridge", "upload", "delivery", "ledger", "bucket", "desk", "sandbox"];
/// These repeat what their errors say: the embedded S3 server, and the search for AWS credentials, which logs every place
/// without any.
const QUIET: &str = "s3s=off,aws_config=error";

/// Parses a filter. A level alone means that level for our crates and warnings of libraries.
pub(crate) fn filter(text: &str) -> Result<EnvFilter, String> {
    let level = ["off", "error", "warn", "info", "debug", "trace"]
        .into_iter()
        .find(|level| text.trim().eq_ignore_ascii_case(level));
    let directives = match level {
        None if !text.contains(['=', ',']) => {
            return Err(format!("`{text}` is not a level"));
        }
        None => text.to_owned(),
        Some(level) => {
            let libraries = if matches!(level, "off" | "error") { level } else { "warn" };
            let ours = OURS.map(|target| format!("{target}={level}")).join(",");
            format!("{libraries},{QUIET},{ours}")
        }
    };
    EnvFilter::builder().parse(directives).map_err(|error| format!("`{text}` cannot be parsed ({error})"))
}

/// Starts logging. Call it within the runtime, which may send spans. With a `file` everything goes there, and only warnings go to
/// standard error, unless an environment variable asks for more.
pub(crate) fn start(settings: &Settings, file: Option<File>) -> anyhow::Result<()> {
    let variable = VARIABLES.into_iter().find_map(|name| Some((name, std::env::var(name).ok()?)));
    let variable = variable.filter(|(_, text)| !text.is_empty());
    let shown = if variable.is_none() { Level::WARN } else { Level::TRACE };
    let with_colours = std::io::stderr().is_terminal() && file.is_none();
    let filter = match variable {
        Some((name, text)) => filter(&text)
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("{name}: write for example `debug` or `info,upload=debug`"))?,
        None => filter(settings.level.as_deref().unwrap_or("info")).map_err(anyhow::Error::msg)?,
    };
    let writer = match file {
        Some(file) => BoxMakeWriter::new(Mutex::new(file).and(std::io::stderr.with_max_level(shown))),
        None => BoxMakeWriter::new(std::io::stderr),
    };
    let lines = fmt::layer().with_writer(writer);
    let lines = match settings.format {
        Format::Text => lines.with_ansi(with_colours).boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    #[cfg(feature = "otlp")]
    let subscriber = subscriber.with(super::otlp::layer(&OURS)?);
    subscriber.try_init().context("start logging")
}

/// Sends the remaining spans. Call it while the runtime runs, from outside of it.
pub(crate) fn stop() {
    #[cfg(feature = "otlp")]
    super::otlp::stop();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        for (text, ok) in [
            ("info", true),
            ("DEBUG", true),
            ("off", true),
            ("info,upload=debug", true),
            ("upload=trace", true),
            ("loud", false),
            ("", false),
            ("upload=loud", false),
        ] {
            assert_eq!(filter(text).is_ok(), ok, "{text}");
        }
        let debug = filter("debug").unwrap().to_string();
        for directive in ["upload=debug", "weighbridge=debug", "s3s=off", "warn"] {
            assert!(debug.split(',').any(|found| found == directive), "{debug}");
        }
    }
}
