//! `[log]`: how lines look and how much is logged. A variable of the environment wins, see `observe::log`.

use super::reader::{Mistake, Section};
use crate::observe::log::{Format, Settings, filter};

pub(super) fn read(mut section: Section<'_>, found: &mut Vec<Mistake>) -> Settings {
    let format = match section.string("format", found).as_deref() {
        None | Some("text") => Format::Text,
        Some("json") => Format::Json,
        Some(other) => {
            let mend = "write `\"text\"` or `\"json\"`";
            section.wrong("format", &format!("`{other}` is unknown"), mend, found);
            Format::Text
        }
    };
    let level = section.string("level", found);
    if let Some(Err(what)) = level.as_deref().map(filter) {
        let mend = "write `\"error\"`, `\"warn\"`, `\"info\"`, `\"debug\"`, or a filter such as `\"info,upload=debug\"`";
        section.wrong("level", &what, mend, found);
    }
    section.finish(found);
    Settings { format, level }
}
