//! Directories of this machine that may be read and written by URL, and whose storage they are.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tidegate_policy::{Endpoint, ParseError};

/// A directory of this machine below which `file://` may read and write.
///
/// Written as its path, or as the storage that it belongs to, `=` and its path:
/// `storage/images=/mnt/images`. Mounts of one storage are of one file system, wherever they are
/// mounted: what is copied between them is copied by it, and books nothing but its lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub directory: PathBuf,
    /// The storage that it belongs to, as the broker names it; `None` where nobody said.
    pub storage: Option<Endpoint>,
}

impl Mount {
    /// A directory of this storage.
    pub fn of(storage: Endpoint, directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), storage: Some(storage) }
    }
}

impl<P: Into<PathBuf>> From<P> for Mount {
    fn from(directory: P) -> Self {
        Self { directory: directory.into(), storage: None }
    }
}

impl FromStr for Mount {
    type Err = ParseError;

    /// What begins with `storage/` and holds a `=` names a storage; all else is a path.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let named = text.split_once('=').filter(|(name, _)| name.starts_with("storage/"));
        let (storage, directory) = match named {
            Some((name, directory)) => (Some(name.parse::<Endpoint>()?), directory),
            None => (None, text),
        };
        if directory.is_empty() {
            let how = "write it as /mnt/images or storage/images=/mnt/images";
            return Err(ParseError::new("mount", text, "it names no directory", how));
        }
        Ok(Self { directory: directory.into(), storage })
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(storage) = &self.storage {
            write!(f, "{storage}=")?;
        }
        self.directory.display().fmt(f)
    }
}

/// The mount that a path with all links followed is below: the innermost.
pub(super) fn around<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let below = |mount: &'a Mount| {
        let directory = std::fs::canonicalize(&mount.directory).ok()?;
        path.starts_with(&directory).then(|| (directory.components().count(), mount))
    };
    mounts.iter().filter_map(below).max_by_key(|(depth, _)| *depth).map(|(_, mount)| mount)
}

/// A path with all links followed, of a file that may not be there yet: its directory has to be.
pub(super) fn resolved(path: &Path) -> std::io::Result<PathBuf> {
    match std::fs::canonicalize(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => parent_resolved(path),
        found => found,
    }
}

/// A path whose directory has all links followed, but not itself: what is renamed to it replaces a
/// link, and not what the link leads to.
pub(super) fn parent_resolved(path: &Path) -> std::io::Result<PathBuf> {
    let name = path.file_name().ok_or(std::io::ErrorKind::InvalidInput)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(std::fs::canonicalize(parent.unwrap_or(Path::new(".")))?.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_read_back() {
        for text in ["/mnt/a", "storage/images=/mnt/a", "/mnt/a=b", "./x"] {
            assert_eq!(text.parse::<Mount>().unwrap().to_string(), text);
        }
        let mount: Mount = "storage/images=/mnt/a".parse().unwrap();
        assert_eq!(mount, Mount::of("storage/images".parse().unwrap(), "/mnt/a"));
        for bad in ["", "storage/images=", "storage/=/mnt"] {
            bad.parse::<Mount>().unwrap_err();
        }
    }

    #[test]
    fn the_innermost_mount_counts() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        std::os::unix::fs::symlink(&inner, dir.path().join("link")).unwrap();
        let mounts = [Mount::from(dir.path()), Mount::of("storage/x".parse().unwrap(), &inner)];
        let storage = |path: &str| {
            let path = resolved(&dir.path().join(path)).unwrap();
            around(&mounts, &path).map(|mount| mount.storage.is_some())
        };
        assert_eq!(storage("a/b/new"), Some(true));
        assert_eq!(storage("link/new"), Some(true));
        assert_eq!(storage("a/new"), Some(false));
        assert_eq!(around(&mounts[1..], &resolved(dir.path()).unwrap()), None);
        resolved(&dir.path().join("none/new")).unwrap_err();
    }
}
