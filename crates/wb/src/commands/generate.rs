//! `wb completions` and `wb man`, generated from the definition of the command line.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;

use crate::cli::Cli;
use crate::exit::{Status, usage};
use crate::output::{self, Output};

pub(crate) fn completions(shell: clap_complete::Shell) -> anyhow::Result<Status> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wb", &mut script);
    output::data(&script)?;
    Ok(Status::Done)
}

pub(crate) fn manual(folder: &Path, output: &Output) -> anyhow::Result<Status> {
    if folder.is_file() {
        return Err(usage(format!("`{}` is a file: choose a folder", folder.display())));
    }
    let written =
        std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.with_context(|| format!("cannot write the manual to `{}`", folder.display()))?;
    output.note(&format!("to read it, run: man {}", folder.join("wb.1").display()));
    Ok(Status::Done)
}
