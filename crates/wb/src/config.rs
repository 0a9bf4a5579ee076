//! The gateway's address and the staff token: from the environment, else from the configuration file.
//! Invariant: the token is never on the command line or in a message.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use crate::exit::usage;
use crate::output::Output;

pub(crate) struct Settings {
    pub(crate) url: Url,
    pub(crate) token: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    url: Option<String>,
    token: Option<String>,
}

/// Reads the settings. `url` is the value of `--url` or `WEIGHBRIDGE_URL`.
///
/// # Errors
/// Status 2 if a setting is missing or malformed.
pub(crate) fn load(url: Option<&str>, output: &Output) -> anyhow::Result<Settings> {
    let path = path();
    let file = match &path {
        Some(path) => read(path, output)?,
        None => File::default(),
    };
    let place =
        path.map_or_else(|| "the configuration file".to_owned(), |path| format!("`{}`", path.display()));
    let url = url.filter(|url| !url.is_empty()).map(str::to_owned).or(file.url).ok_or_else(|| {
        usage(format!("the gateway's address is not set: set WEIGHBRIDGE_URL, or `url` in {place}"))
    })?;
    let token = std::env::var("WEIGHBRIDGE_TOKEN").ok().filter(|token| !token.is_empty()).or(file.token);
    let token = token.ok_or_else(|| {
        usage(format!("the staff token is not set: set WEIGHBRIDGE_TOKEN, or `token` in {place}"))
    })?;
    let url = gateway_url(&url)?;
    if url.scheme() == "http" && !is_loopback(&url) {
        output.warn("the gateway's address does not use https, so the token is sent in clear text");
    }
    Ok(Settings { url, token: token.trim().to_owned() })
}

fn gateway_url(text: &str) -> anyhow::Result<Url> {
    // The address is not repeated, because it may contain a password.
    let example = "write it like `https://files.example.com` or `http://127.0.0.1:8080`";
    if !["http://", "https://"].iter().any(|scheme| starts_with(text, scheme)) {
        let what = "the gateway's address must begin with https:// or http://";
        return Err(usage(format!("{what}: {example}")));
    }
    let url = Url::parse(text)
        .map_err(|error| usage(format!("the gateway's address is not valid: {error}; {example}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(usage(
            "the gateway's address must not contain a user or password: use WEIGHBRIDGE_TOKEN",
        ));
    }
    Ok(url)
}

/// Ignores case.
fn starts_with(text: &str, scheme: &str) -> bool {
    text.trim_start().get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
}

/// Whether the address is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

/// `$XDG_CONFIG_HOME/weighbridge/wb.toml`, else below `~/.config` (`%APPDATA%` on Windows).
fn path() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = folder("XDG_CONFIG_HOME")
        .or_else(|| folder("APPDATA"))
        .or_else(|| folder("HOME").map(|home| home.join(".config")))?;
    Some(base.join("weighbridge").join("wb.toml"))
}

fn read(path: &Path, output: &Output) -> anyhow::Result<File> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(File::default()),
        Err(error) => return Err(usage(format!("cannot read `{}`: {error}", path.display()))),
    };
    let file = toml::from_str::<File>(&text).map_err(|error| malformed(path, &text, &error))?;
    if file.token.is_some() && readable_by_others(path) {
        let path = path.display();
        output.warn(&format!("`{path}` contains a token and is readable by others: run `chmod 600 {path}`"));
    }
    Ok(file)
}

/// Reports the line and the problem, but never a value, which may be the token.
fn malformed(path: &Path, text: &str, error: &toml::de::Error) -> anyhow::Error {
    let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
    let what = match error.message() {
        message if message.starts_with("invalid") => "expected text in quotes",
        message => message,
    };
    usage(format!("`{}` line {line}: {what}", path.display()))
}

#[cfg(unix)]
fn readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn readable_by_others(_path: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_line_but_not_the_token() {
        for (line, expected) in [
            ("token = 53217", "expected text in quotes"),
            ("token = [53217]", "expected text in quotes"),
            ("token = 53217 x", ""),
            ("token = \"53217", ""),
            ("tokn = \"53217\"", "unknown field `tokn`"),
        ] {
            let text = format!("url = \"https://host\"\n\n{line}\n");
            let error = toml::from_str::<File>(&text).err().unwrap();
            let message = malformed(Path::new("wb.toml"), &text, &error).to_string();
            assert!(message.starts_with("`wb.toml` line 3: ") && message.contains(expected), "{message}");
            assert!(!message.contains("53217"), "{message}");
        }
    }

    #[test]
    fn addresses() {
        assert!(gateway_url("https://host/base/").is_ok());
        for wrong in
            ["", "host", "127.0.0.1:8080", "localhost:8080", "h.example:443/base", "ftp://host", "http://"]
        {
            let said = gateway_url(wrong).unwrap_err().to_string();
            assert!(said.contains("write it like `https://"), "{wrong}: {said}");
        }
        for wrong in ["https://user:pass@host", "https://user@host"] {
            assert!(gateway_url(wrong).is_err(), "{wrong}");
        }
        for (address, expected) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://LOCALHOST", true),
            ("http://files.localhost.", true),
            ("http://localhost.example", false),
            ("http://h.example", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(address).unwrap()), expected, "{address}");
        }
    }
}
