//! Standard output for data, standard error for messages and progress; nothing else writes to either.
//! Invariant: nothing printed contains a character that controls a terminal. A reader that is gone is no error.

use std::io::{self, IsTerminal, Write};

use api::Receipt;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use indicatif::{DecimalBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use crate::exit::{Status, failure, status_of};
use crate::names::{is_deceptive, printable};

pub(crate) struct Output {
    json: bool,
    quiet: bool,
    bars: MultiProgress,
}

impl Output {
    /// Progress is shown only on a terminal.
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let watched = !json && !quiet && io::stderr().is_terminal();
        let target = if watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { json, quiet, bars: MultiProgress::with_draw_target(target) }
    }

    /// Whether data is printed as one JSON object per line.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether messages are for a person who reads along, so that those worth a request are fetched.
    pub(crate) fn is_for_people(&self) -> bool {
        !self.json && !self.quiet
    }

    /// Prints a line of data.
    pub(crate) fn line(&self, text: &str) -> anyhow::Result<()> {
        self.bars.suspend(|| data(format!("{}\n", printable(text)).as_bytes()))
    }

    /// Prints a text of several lines below a heading; nothing if the text is blank. Each line is indented, so that no line of
    /// it can pass for one of ours.
    pub(crate) fn text(&self, heading: &str, text: &str) -> anyhow::Result<()> {
        if text.trim().is_empty() {
            return Ok(());
        }
        self.line("")?;
        self.line(&format!("{heading}:"))?;
        // Line by line, to keep line breaks and escape all other control characters.
        text.lines().try_for_each(|line| self.line(&format!("  {}", line.replace('\t', "    "))))
    }

    /// Prints a JSON object on one line.
    pub(crate) fn object(&self, object: &impl Serialize) -> anyhow::Result<()> {
        let text = escape_json(&serde_json::to_string(object)?);
        self.bars.suspend(|| data(format!("{text}\n").as_bytes()))
    }

    /// Prints aligned columns, without wrapping, so that each row stays on one line for `grep`.
    pub(crate) fn table(&self, headings: &[&str], rows: &[Vec<String>]) -> anyhow::Result<()> {
        Rows::new(headings).print(rows)
    }

    /// Prints a message.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.message(text);
        }
    }

    /// Prints a warning.
    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            self.message(&format!("warning: {text}"));
        }
    }

    /// Prints an error, even with `--quiet`.
    pub(crate) fn error(&self, text: &str) {
        self.message(&format!("error: {text}"));
    }

    fn message(&self, text: &str) {
        // If standard error is gone, there is nobody left to tell.
        let _ = self.bars.suspend(|| writeln!(io::stderr(), "{}", printable(text)));
    }

    /// A progress bar; hidden if standard error is not a terminal.
    pub(crate) fn bar(&self, name: &str, size_bytes: u64) -> ProgressBar {
        let template =
            "{msg:30!} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.bars.add(ProgressBar::new(size_bytes).with_style(style));
        bar.set_message(printable(name));
        bar
    }

    /// Asks a yes-or-no question. Only `y` and `yes` mean yes; the end of input means no.
    pub(crate) fn ask(&self, question: &str) -> anyhow::Result<bool> {
        let mut stderr = io::stderr();
        write!(stderr, "{} [y/N] ", printable(question))?;
        stderr.flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Does the same to each ID and prints what was `done` to it.
    pub(crate) async fn each(
        &self,
        ids: &[String],
        done: &str,
        act: impl AsyncFn(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<Status> {
        let mut status = Status::Done;
        for id in ids {
            let outcome = match act(id).await {
                Ok(()) if self.json => self.object(&json!({"id": id, done: true})),
                other => other.inspect(|()| self.note(&format!("{done} {id}"))),
            };
            self.note_failure(&mut status, outcome)?;
        }
        Ok(status)
    }

    /// Prints the error of one of several operations and adds its status to `total`, so that the others continue.
    ///
    /// # Errors
    /// If the reader of the output is gone, because then the others are useless.
    pub(crate) fn note_failure(&self, total: &mut Status, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
        let Err(error) = outcome else { return Ok(()) };
        match status_of(&error) {
            Status::Done => Err(error),
            status => {
                self.error(&format!("{error:#}"));
                *total = total.and(status);
                Ok(())
            }
        }
    }
}

/// A table that is printed page by page. A column grows when a later page needs it.
pub(crate) struct Rows {
    headings: Vec<String>,
    widths: Vec<u16>,
}

impl Rows {
    pub(crate) fn new(headings: &[&str]) -> Self {
        let headings: Vec<_> = headings.iter().map(|heading| (*heading).to_owned()).collect();
        Self { widths: vec![0; headings.len()], headings }
    }

    /// Prints the next rows, and the headings before the first.
    pub(crate) fn print(&mut self, rows: &[Vec<String>]) -> anyhow::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        let headings = std::mem::take(&mut self.headings);
        if !headings.is_empty() {
            table.set_header(headings);
        }
        for row in rows {
            table.add_row(row.iter().map(|cell| printable(cell)));
        }
        let needed = table.column_max_content_widths();
        for ((column, width), needed) in table.column_iter_mut().zip(&mut self.widths).zip(needed) {
            *width = (*width).max(needed);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(*width)));
        }
        let text: String = table.lines().map(|line| format!("{}\n", line.trim())).collect();
        data(text.as_bytes())
    }
}

/// Escapes deceptive characters that JSON allows. They can only be inside strings.
fn escape_json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) { safe.push_str(&format!("\\u{:04x}", u32::from(c))) } else { safe.push(c) }
    }
    safe
}

/// Writes to standard output.
///
/// # Errors
/// A closed pipe is an error with status 0, so that the program ends at once.
pub(crate) fn data(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => failure(Status::Done, "the reader of the output is gone"),
        _ => anyhow::Error::new(error).context("cannot write to standard output"),
    })
}

/// A size in decimal units: 20,000,000 bytes are 20 MB.
pub(crate) fn size(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

/// The size of an upload; if it is not complete, the bytes received so far and the expected size.
pub(crate) fn upload_size(receipt: &Receipt) -> String {
    match (receipt.size, &receipt.progress) {
        (Some(bytes), _) => size(bytes),
        (None, Some(progress)) => {
            let length = progress.length.map_or_else(|| "?".to_owned(), size);
            format!("{} / {length}", size(progress.offset))
        }
        (None, None) => "-".to_owned(),
    }
}

/// The date of a time, RFC 3339.
pub(crate) fn date(time: &str) -> &str {
    time.get(..10).unwrap_or(time)
}

/// A table cell, `-` if there is no value.
pub(crate) fn cell(value: Option<&str>) -> String {
    value.filter(|value| !value.is_empty()).unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_json() {
        let object = serde_json::json!({"name": "a\u{202e}\u{9b}31m\u{7f}\n\"b"});
        let text = escape_json(&object.to_string());
        assert!(text.is_ascii(), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), object);
    }

    #[test]
    fn sizes_are_decimal() {
        assert_eq!(size(20_000_000), "20.00 MB");
        assert_eq!(size(512), "512 B");
    }
}
