//! Texts from files and variables, especially secrets. Invariant: only regular files are opened, and read up to a limit: a FIFO
//! would block the start forever, a device would fill the memory.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::reader::Section;

pub(super) const CONFIGURATION_BYTES_MAX: u64 = 1 << 20;
const SECRET_BYTES_MAX: u64 = 64 << 10;
/// Read permission for everybody.
const FOR_ALL: u32 = 0o004;

/// Whether everyone on this machine may read a file. Nobody can read one that does not exist.
pub(super) fn is_open_to_all(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|about| about.permissions().mode() & FOR_ALL != 0)
}

/// What is wrong with a path that must be a regular file of at most this size.
pub(super) fn unusable(path: &Path, bytes_max: u64) -> Option<String> {
    match std::fs::metadata(path) {
        Err(error) => Some(format!("cannot be read ({error})")),
        Ok(about) if !about.is_file() => Some("is not a regular file".into()),
        Ok(about) if about.len() > bytes_max => Some(format!("has more than {bytes_max} bytes")),
        Ok(_) => None,
    }
}

/// The text of a regular file of at most this size. The error follows the path.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<String, String> {
    if let Some(wrong) = unusable(path, bytes_max) {
        return Err(wrong);
    }
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(bytes_max).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| format!("cannot be read ({error})"))
}

/// Account names need not be secret, and neither does a URL without a password.
fn is_worth_hiding(key: &str, text: &str) -> bool {
    match key {
        "client_id" | "email" | "access_key_id" => false,
        "url" => text.contains('@'),
        _ => true,
    }
}

/// A secret in the configuration. Its `Debug` shows nothing.
#[derive(Clone)]
pub(crate) struct Hidden(pub(crate) String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(…)")
    }
}

enum Source {
    Env(String),
    File(String),
}

impl Section<'_> {
    /// A text, `{ env = "NAME" }` or `{ file = "PATH" }`. Never empty.
    pub(crate) fn secret(&mut self, key: &'static str) -> Option<String> {
        let value = self.get(key)?.get_ref();
        let source = value.as_table().and_then(|table| {
            let only = table.len() == 1;
            let named = |name| table.get(name).and_then(|v| v.get_ref().as_str()).map(str::to_owned);
            only.then(|| named("env").map(Source::Env).or_else(|| named("file").map(Source::File)))?
        });
        let (text, from) = match (value.as_str(), source) {
            (Some(text), _) => {
                if self.file.is_open_to_all && is_worth_hiding(key, text) {
                    let what = "it stands in a file that everybody on this machine may read";
                    self.warn(key, what, "take that away (`chmod o= FILE`), or write `{ file = \"PATH\" }`");
                }
                (text.to_owned(), String::new())
            }
            (None, Some(Source::Env(name))) => match std::env::var(&name) {
                Ok(text) => (text, format!("the environment variable `{name}` ")),
                Err(_) => {
                    let what = format!("the environment variable `{name}` is not set");
                    self.wrong(key, &what, "set it for this process");
                    return None;
                }
            },
            (None, Some(Source::File(path))) => match read(Path::new(&path), SECRET_BYTES_MAX) {
                Ok(text) => {
                    if is_open_to_all(Path::new(&path)) {
                        let what = format!("everybody on this machine may read `{path}`");
                        self.warn(key, &what, "take that away: `chmod o= FILE`");
                    }
                    (text.trim_end_matches(['\r', '\n']).to_owned(), format!("the file `{path}` "))
                }
                Err(wrong) => {
                    let fix = "name a small regular file, readable for this process";
                    self.wrong(key, &format!("`{path}` {wrong}"), fix);
                    return None;
                }
            },
            (None, None) => {
                let fix = "write a text, `{ env = \"NAME\" }` or `{ file = \"PATH\" }`";
                self.wrong(key, "is not a secret", fix);
                return None;
            }
        };
        if text.trim().is_empty() {
            self.wrong(key, &format!("{from}is empty"), "put the secret there");
            return None;
        }
        Some(text)
    }
}
