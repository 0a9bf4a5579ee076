//! Standard output and exit codes of every command.

use std::io::Write as _;

/// Exit code for a configuration that cannot be used, the same as for a wrong command line.
pub(crate) const MISCONFIGURED: u8 = 2;

/// Prints a line. A reader that has gone away is no error.
pub(crate) fn say(line: &str) -> std::io::Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Prints a JSON object on a line.
pub(crate) fn print(value: &impl serde::Serialize) -> std::io::Result<()> {
    say(&serde_json::to_string(value)?)
}
