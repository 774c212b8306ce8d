//! Projects and quotas as a file that people keep: TOML, one table for each project.
//!
//! ```
//! use tidegate_client::policy_file;
//!
//! let text = r#"
//! [[project]]
//! name = "lab"
//! rate = "10Gbit"
//!
//! [[project]]
//! name = "vision"
//! parent = "lab"
//! rate = "4Gbit"
//! reservations = 200
//! rate_each = "2Gbit"
//! duration_each = "12h"
//! horizon = "30d"
//! labels = { team = "vision", cost-centre = "4711" }
//! "#;
//! let projects = policy_file::read(text)?;
//! assert_eq!(projects.len(), 2);
//! assert_eq!(policy_file::read(&policy_file::write(&projects))?, projects);
//! # Ok::<(), policy_file::PolicyFileError>(())
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_policy::{BitRate, Name, Project, ProjectId, Quota, Span};

/// What is wrong with a file, and where.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PolicyFileError(#[from] toml::de::Error);

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    project: Vec<Entry>,
}

/// A project as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<BitRate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reservations: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_each: Option<BitRate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_each: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    horizon: Option<Span>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

impl From<Entry> for Project {
    fn from(entry: Entry) -> Self {
        let Entry { name, parent, rate, reservations, rate_each, duration_each, horizon, labels } =
            entry;
        let quota = Quota { rate, reservations, rate_each, duration_each, horizon };
        Self { id: ProjectId(name), parent: parent.map(ProjectId), labels, quota }
    }
}

impl From<Project> for Entry {
    fn from(project: Project) -> Self {
        let Project { id: ProjectId(name), parent, labels, quota } = project;
        let Quota { rate, reservations, rate_each, duration_each, horizon } = quota;
        let parent = parent.map(|ProjectId(name)| name);
        Self { name, parent, rate, reservations, rate_each, duration_each, horizon, labels }
    }
}

/// The projects of a file. Whether they are a tree, the broker says.
///
/// # Errors
/// [`PolicyFileError`]: what is wrong, with its line and column.
pub fn read(text: &str) -> Result<Vec<Project>, PolicyFileError> {
    let file: File = toml::from_str(text)?;
    Ok(file.project.into_iter().map(Project::from).collect())
}

/// Projects as a file that [`read`] takes.
#[must_use]
pub fn write(projects: &[Project]) -> String {
    let project = projects.iter().cloned().map(Entry::from).collect();
    // Names, numbers and texts always have a form in TOML.
    toml::to_string(&File { project }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, told) in [
            ("[[project]]\nname = \"a\"\nrate = 10", "line 3"),
            ("[[project]]\nname = \"a b\"", "not a name"),
            ("[[project]]\nrate = \"1Gbit\"", "missing field `name`"),
            ("[[project]]\nname = \"a\"\nrates = \"1Gbit\"", "unknown field `rates`"),
            ("[project]\nname = \"a\"", "expected"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        assert_eq!(read("").unwrap(), []);
    }
}
