//! Checks whether a ledger file can be kept where the configuration says.
//! Invariant: this opens nothing, since SQLite's locks end with the first descriptor that is closed.

use std::path::Path;

/// What is wrong with this path, and how to fix it. SQLite writes its logs beside the file, so the folder counts, too.
pub(super) fn mistake(path: &Path) -> Option<(String, &'static str)> {
    let folder = match path.parent() {
        None => return Some(("is a folder".into(), "name a file")),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    };
    if path.is_dir() {
        return Some((format!("`{}` is a folder", path.display()), "name a file in it"));
    }
    if !folder.is_dir() {
        let what = format!("the folder `{}` is not there", folder.display());
        return Some((what, "make it, writable for the user that runs the gateway"));
    }
    let closed = [folder, path].into_iter().find(|place| !is_writable(place))?;
    let what = format!("`{}` cannot be written by this user", closed.display());
    Some((what, "let the user that runs the gateway write it, or run this as that user"))
}

/// True also if it does not exist yet.
#[cfg(unix)]
fn is_writable(path: &Path) -> bool {
    use rustix::fs::{Access, access};
    use rustix::io::Errno;
    matches!(access(path, Access::WRITE_OK), Ok(()) | Err(Errno::NOENT))
}

#[cfg(not(unix))]
fn is_writable(_path: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("ledger.db");
        assert_eq!((mistake(&inside), mistake(Path::new("ledger.db"))), (None, None));
        std::fs::write(&inside, "").unwrap();
        assert_eq!(mistake(&inside), None);
        for (path, expected) in [
            (folder.path().join("missing/ledger.db"), "is not there"),
            (inside.join("ledger.db"), "is not there"),
            (folder.path().into(), "is a folder"),
            ("/".into(), "is a folder"),
            #[cfg(target_os = "linux")]
            // Not even root makes files there.
            ("/proc/sys/ledger.db".into(), "cannot be written"),
        ] {
            let (what, _) = mistake(&path).unwrap_or_else(|| panic!("{} is good", path.display()));
            assert!(what.contains(expected), "{}: {what}", path.display());
        }
    }
}
