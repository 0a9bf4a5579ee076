//! The desk's state on disk: one JSON snapshot, and one file for each attachment's bytes.
//!
//! Invariant: [`Store::change`] returns only after the new snapshot is flushed and has its name; what it returns an error
//! for, never happened. Readers see durable state only.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::Context;
use tempfile::NamedTempFile;

use super::model::State;
use crate::json_file::{UNFINISHED, flush_dir, read_json, write_json};

const SNAPSHOT: &str = "desk.json";
const FILES: &str = "files";

pub(super) struct Store {
    dir: PathBuf,
    current: RwLock<Arc<State>>,
    /// Held while a change is made and written: one at a time.
    writing: Mutex<()>,
}

impl Store {
    /// Reads the snapshot and removes what no snapshot names. Blocks.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir.join(FILES)).with_context(|| format!("create {}", dir.display()))?;
        let state: State = read_json(&dir.join(SNAPSHOT))?.unwrap_or_default();
        let store =
            Self { dir: dir.to_owned(), current: RwLock::new(Arc::new(state)), writing: Mutex::new(()) };
        store.remove_leftovers()?;
        Ok(store)
    }

    /// The state on disk.
    pub(super) fn read(&self) -> Arc<State> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state and makes that durable. Blocks; the change happens to a copy, which is dropped if the closure or
    /// the disk refuses.
    pub(super) fn change<T, E: From<anyhow::Error>>(
        &self,
        change: impl FnOnce(&mut State) -> Result<T, E>,
    ) -> Result<T, E> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = State::clone(&self.read());
        let answer = change(&mut next)?;
        write_json(&self.dir, SNAPSHOT, &next)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(answer)
    }

    /// A file to write an attachment into; gone when dropped before [`Store::keep`].
    pub(super) fn unfinished(&self) -> std::io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(self.dir.join(FILES))
    }

    /// Flushes the file and gives it its name. Blocks.
    pub(super) fn keep(&self, file: NamedTempFile, name: &str) -> anyhow::Result<()> {
        file.as_file().sync_all().context("flush attachment")?;
        file.persist(self.file(name)).context("name attachment")?;
        flush_dir(&self.dir.join(FILES))
    }

    /// Removes bytes nothing names any more. A failure leaves them to the next start.
    pub(super) fn discard(&self, files: &[String]) {
        for file in files {
            if let Err(error) = fs::remove_file(self.file(file)) {
                tracing::debug!(%error, "attachment not removed");
            }
        }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(FILES).join(name)
    }

    fn remove_leftovers(&self) -> anyhow::Result<()> {
        let state = self.read();
        let named: HashSet<&str> =
            state.attachments.values().map(|attachment| attachment.file.as_str()).collect();
        for dir in [self.dir.clone(), self.dir.join(FILES)] {
            let in_files = dir.ends_with(FILES);
            for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if name.starts_with(UNFINISHED) || (in_files && !named.contains(&*name)) {
                    fs::remove_file(entry.path()).context("remove leftover")?;
                }
            }
        }
        Ok(())
    }
}
