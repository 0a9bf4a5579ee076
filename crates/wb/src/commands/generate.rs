//! `wb completions` and `wb man`: made from the command line's own definition, so they cannot say anything else.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;

use crate::{
    cli::Cli,
    failure::{Status, usage},
    output::{self, Output},
};

pub(crate) fn completions(shell: clap_complete::Shell) -> anyhow::Result<Status> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wb", &mut script);
    output::data(&script)?;
    Ok(Status::Done)
}

pub(crate) fn manual(folder: &Path, output: &Output) -> anyhow::Result<Status> {
    if folder.is_file() {
        return Err(usage(format!("`{}` is a file: name a folder", folder.display())));
    }
    let written =
        std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.with_context(|| format!("write the manual to `{}`", folder.display()))?;
    output.note(&format!("read it with: man {}", folder.join("wb.1").display()));
    Ok(Status::Done)
}
