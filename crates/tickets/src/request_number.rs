//! What a person may write to name a ticket: its number, or the partner's own case number. Pure.

use regex_lite::Regex;

/// Tells a person what to enter.
pub const NUMBER_HINT: &str = "Enter only the ticket number or your own case number, such as 123456 or T123456789, without `#` or other text.";

/// Longest number, bytes.
const NUMBER_BYTES_MAX: usize = 50;

/// How a partner's own case numbers look. By default up to eight letters, perhaps a `-`, and then digits.
#[derive(Debug, Clone, Default)]
pub struct CasePattern(Option<Regex>);

impl CasePattern {
    /// # Errors
    /// What is wrong with the regular expression.
    pub fn new(pattern: &str) -> Result<Self, String> {
        // The whole number must match, in any case.
        Regex::new(&format!("^(?i:{pattern})$"))
            .map(|regex| Self(Some(regex)))
            .map_err(|error| error.to_string())
    }

    /// The case number without spaces around it, in upper case; none if it is not one.
    pub fn read(&self, text: &str) -> Option<String> {
        let text = text.trim();
        let fits = match &self.0 {
            _ if text.len() > NUMBER_BYTES_MAX => false,
            Some(regex) => regex.is_match(text) && !text.contains('#'),
            None => is_usual(text),
        };
        fits.then(|| text.to_uppercase())
    }

    /// A ticket number or a case number, in upper case; none if it is neither.
    pub fn read_request(&self, text: &str) -> Option<String> {
        let is_number = |text: &str| !text.contains('#') && desk::ticket_number(text).is_some();
        self.read(text).or_else(|| is_number(text).then(|| text.trim().to_owned()))
    }
}

fn is_usual(text: &str) -> bool {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let letters = text.len() - digits.len();
    let digits = if letters > 0 { digits.strip_prefix('-').unwrap_or(digits) } else { digits };
    letters <= 8 && (1..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_other_text_are_read() {
        for (text, read) in [
            ("123456", Some("123456")),
            (" T123456789 ", Some("T123456789")),
            ("t123456789", Some("T123456789")),
            ("CASE-42", Some("CASE-42")),
            ("#123456", None),
            ("ticket 123456", None),
            ("123456, please", None),
            ("T", None),
            ("", None),
            ("12 34", None),
            ("1-2", None),
            ("123456789012345678901", None),
            ("ABCDEFGHI1", None),
            ("T12345\u{202e}6", None),
            ("١٢٣", None),
        ] {
            assert_eq!(CasePattern::default().read_request(text).as_deref(), read, "{text:?}");
        }
    }

    #[test]
    fn a_partner_s_own_pattern_counts_beside_ticket_numbers() {
        let pattern = CasePattern::new("[a-z]{2}/[0-9]+").unwrap();
        for (text, read) in [
            ("ab/12", Some("AB/12")),
            ("1001", Some("1001")),
            ("T12", None),
            ("xab/12", None),
            ("ab/12#", None),
        ] {
            assert_eq!(pattern.read_request(text).as_deref(), read, "{text:?}");
        }
        assert!(CasePattern::new("(").is_err());
    }
}
