//! A file that a report is drawn into.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::arguments::Plot;
use crate::exit::Mistake;
use crate::output::say;

/// A file that may be written: what stood there is somebody's, unless they say otherwise.
pub(super) struct NewFile {
    path: PathBuf,
    force: bool,
}

impl NewFile {
    /// The file that is wanted, if any; found out before the broker is asked.
    pub(super) fn wanted(typed: &Plot) -> Result<Option<Self>, Mistake> {
        let Some(path) = &typed.plot else { return Ok(None) };
        if !typed.force && path.exists() {
            return Err(taken(path));
        }
        Ok(Some(Self { path: path.clone(), force: typed.force }))
    }

    pub(super) fn write(self, text: &str) -> anyhow::Result<()> {
        let Self { path, force } = self;
        let mut options = OpenOptions::new();
        options.write(true);
        // Somebody else may have been faster.
        let opened = match force {
            true => options.create(true).truncate(true).open(&path),
            false => options.create_new(true).open(&path),
        };
        let mut file = match opened {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(taken(&path).into());
            }
            opened => opened.with_context(|| format!("cannot write {}", path.display()))?,
        };
        file.write_all(text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        say(&format!("drawn into {}", path.display()));
        Ok(())
    }
}

fn taken(path: &Path) -> Mistake {
    Mistake::new(format!("{} is there already", path.display()))
        .hint("--force writes over it; or name another file")
}
