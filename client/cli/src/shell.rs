//! What comes from the definitions of the commands alone: words for shells, manual pages, and
//! how a line that cannot be understood is answered.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap::error::ErrorKind;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::exit::Exit;
use crate::output::{hint, print, say};

pub(crate) fn completion(shell: Shell) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "tidegate", &mut text);
    print(&String::from_utf8(text)?)?;
    Ok(Exit::Done)
}

pub(crate) fn man(directory: &Path) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), directory))
        .with_context(|| format!("cannot write to {}", directory.display()))?;
    say(&format!("the pages are in {}: read one with man", directory.display()));
    Ok(Exit::Done)
}

/// What clap says at the end of every error.
const FOOT: &str = "For more information, try '--help'.";

/// Says why a line was not understood, in the words of every other error.
pub(crate) fn misunderstood(error: &clap::Error) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return match error.print() {
            Ok(()) => Exit::Done,
            Err(_) => Exit::Failure,
        };
    }
    if error.kind() == ErrorKind::MissingSubcommand && std::env::args_os().len() == 1 {
        say(Arguments::command().render_help().to_string().trim_end());
        return Exit::Usage;
    }
    let said = error.render().to_string();
    let (said, hints) = said.lines().filter(|line| *line != FOOT).partition::<Vec<_>, _>(|line| {
        !line.trim_start().starts_with("tip: ") && !line.starts_with("hint: ")
    });
    let mut text = said.join("\n").replacen("error: ", "tidegate: ", 1);
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    say(text.trim_end());
    if hints.is_empty() {
        hint("--help shows what there is, with examples");
    }
    for line in hints {
        hint(line.trim_start().trim_start_matches("tip: ").trim_start_matches("hint: "));
    }
    Exit::Usage
}
