//! The only door to standard output and standard error: data goes to the first, remarks and progress to the second.
//! A reader that went away is success. Nothing shown holds a character that steers a terminal.

use std::io::{self, IsTerminal, Write};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use indicatif::{DecimalBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::{
    failure::{Status, failure},
    names::{is_deceptive, printable},
};

/// How to talk to the person, or to the next program.
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    bars: MultiProgress,
}

impl Output {
    /// Progress is shown only to a person who watches.
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let watched = !json && !quiet && io::stderr().is_terminal();
        let target = if watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { json, quiet, bars: MultiProgress::with_draw_target(target) }
    }

    /// Whether data is printed as JSON lines.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// One line of data.
    pub(crate) fn line(&self, text: &str) -> anyhow::Result<()> {
        self.bars.suspend(|| data(format!("{}\n", printable(text)).as_bytes()))
    }

    /// One object of data, on a line of its own.
    pub(crate) fn object(&self, object: &impl Serialize) -> anyhow::Result<()> {
        let text = escape_json(&serde_json::to_string(object)?);
        self.bars.suspend(|| data(format!("{text}\n").as_bytes()))
    }

    /// Rows under headings, aligned, without wrapping: lines stay whole for `grep`.
    pub(crate) fn table(&self, headings: &[&str], rows: &[Vec<String>]) -> anyhow::Result<()> {
        Rows::new(headings).print(rows)
    }

    /// A remark for the person.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.remark(text);
        }
    }

    /// Something to mend, though the work goes on.
    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            self.remark(&format!("warning: {text}"));
        }
    }

    /// Why it did not work.
    pub(crate) fn error(&self, text: &str) {
        self.remark(&format!("error: {text}"));
    }

    fn remark(&self, text: &str) {
        // Nobody is left to be told when standard error is gone.
        let _ = self.bars.suspend(|| writeln!(io::stderr(), "{}", printable(text)));
    }

    /// A progress bar for a file of `size_bytes`; invisible when nobody watches.
    pub(crate) fn bar(&self, name: &str, size_bytes: u64) -> ProgressBar {
        let template =
            "{msg:30!} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.bars.add(ProgressBar::new(size_bytes).with_style(style));
        bar.set_message(printable(name));
        bar
    }

    /// Asks, and takes only `y` or `yes` for consent; the end of input is a no.
    pub(crate) fn ask(&self, question: &str) -> anyhow::Result<bool> {
        let mut stderr = io::stderr();
        write!(stderr, "{} [y/N] ", printable(question))?;
        stderr.flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }
}

/// A table that is printed in pieces, for lists of any length. Columns grow where a later row needs it.
pub(crate) struct Rows {
    headings: Vec<String>,
    widths: Vec<u16>,
}

impl Rows {
    pub(crate) fn new(headings: &[&str]) -> Self {
        let headings: Vec<_> = headings.iter().map(|heading| (*heading).to_owned()).collect();
        Self { widths: vec![0; headings.len()], headings }
    }

    /// The next rows; the headings go before the first.
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

/// JSON escapes for what JSON itself lets through: such characters stand in strings only.
fn escape_json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) { safe.push_str(&format!("\\u{:04x}", u32::from(c))) } else { safe.push(c) }
    }
    safe
}

/// Writes to standard output, and notices when nobody reads.
///
/// # Errors
/// A closed pipe is an error with status 0, so that the work ends there and then.
pub(crate) fn data(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => failure(Status::Done, "the reader of the output went away"),
        _ => anyhow::Error::new(error).context("write to standard output"),
    })
}

/// A size for a person, in decimal units: 20,000,000 bytes are 20 MB.
pub(crate) fn size(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
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
