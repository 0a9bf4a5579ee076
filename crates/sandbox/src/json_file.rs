//! JSON files that a crash leaves old or new, never in part. They are readable by their owner alone.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Marks files that were being written; whatever carries it at start is left over from a crash.
pub(crate) const UNFINISHED: &str = ".unfinished-";

/// Reads `dir/name`, or makes it once.
pub(crate) fn read_or_make<T: Serialize + DeserializeOwned>(
    dir: &Path,
    name: &str,
    make: impl FnOnce() -> T,
) -> anyhow::Result<T> {
    if let Some(value) = read_json(&dir.join(name))? {
        return Ok(value);
    }
    let value = make();
    write_json(dir, name, &value).with_context(|| format!("write {}", dir.join(name).display()))?;
    Ok(value)
}

/// Reads a JSON file; `None` if there is none.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).with_context(|| format!("{} is damaged", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// Writes `dir/name` so that a crash leaves the old or the new content, readable by the owner only.
pub(crate) fn write_json(dir: &Path, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(dir).context("create snapshot")?;
    file.write_all(&serde_json::to_vec(value)?).context("write snapshot")?;
    file.as_file().sync_all().context("flush snapshot")?;
    file.persist(dir.join(name)).context("name snapshot")?;
    flush_dir(dir)
}

/// A rename is durable only once its directory is flushed.
pub(crate) fn flush_dir(dir: &Path) -> anyhow::Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).context("flush directory")
}
