//! `[log]`: format and level. Environment variables override it, see `telemetry/log.rs`.

use super::reader::Section;
use crate::telemetry::log::{Format, Settings, filter};

pub(super) fn read(mut section: Section<'_>) -> Settings {
    let format = match section.string("format").as_deref() {
        None | Some("text") => Format::Text,
        Some("json") => Format::Json,
        Some(other) => {
            let fix = "write `\"text\"` or `\"json\"`";
            section.wrong("format", &format!("`{other}` is unknown"), fix);
            Format::Text
        }
    };
    let level = section.string("level");
    if let Some(Err(what)) = level.as_deref().map(filter) {
        let fix = "write `\"error\"`, `\"warn\"`, `\"info\"`, `\"debug\"`, or a filter such as `\"info,upload=debug\"`";
        section.wrong("level", &what, fix);
    }
    section.finish();
    Settings { format, level }
}
