//! A directory for what is fetched. Disks are no part of what is measured: it is in memory where that
//! is a file system.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use crate::net::{PREFIX, comm, is_leftover};

/// A directory that is removed when it is dropped. What runs that were killed left is removed now.
///
/// # Errors
/// It cannot be made.
pub fn directory() -> anyhow::Result<TempDir> {
    let memory = PathBuf::from("/dev/shm");
    let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
    for entry in std::fs::read_dir(&place)?.flatten() {
        if is_leftover(&entry.file_name().to_string_lossy(), &comm) {
            // Somebody else may be at it as well.
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
    let prefix = format!("{PREFIX}{}-", std::process::id());
    let made = tempfile::Builder::new().prefix(&prefix).tempdir_in(&place);
    made.with_context(|| format!("no directory in {}", place.display()))
}

/// Removes what is in a directory.
///
/// # Errors
/// Some of it cannot be removed.
pub fn empty(directory: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
    }
    Ok(())
}
