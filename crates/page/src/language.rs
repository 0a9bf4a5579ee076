//! The languages of pages: one file each in `web/locales`, which a translator can edit.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A language that pages are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    English,
    German,
    French,
    Japanese,
}

type Texts = HashMap<String, String>;

const ALL: [Language; 4] = [Language::English, Language::German, Language::French, Language::Japanese];
static TEXTS: LazyLock<[Texts; 4]> = LazyLock::new(|| {
    [
        include_str!("../web/locales/en.json"),
        include_str!("../web/locales/de.json"),
        include_str!("../web/locales/fr.json"),
        include_str!("../web/locales/ja.json"),
    ]
    .map(|text| serde_json::from_str(text).unwrap_or_default())
});

/// The key of a problem's text. Problems that no page shows share one.
fn problem_key(kind: &str, suffix: &str) -> String {
    let name = kind.trim_start_matches("/problems/");
    let key = format!("problem.{name}{suffix}");
    if TEXTS[0].contains_key(&key) { key } else { format!("problem.any{suffix}") }
}

impl Language {
    /// The first language of an `Accept-Language` header that pages are written in, by its weights; else English.
    pub fn wanted(accept: &str) -> Self {
        let mut wanted: Vec<(f32, Self)> = accept
            .split(',')
            .filter_map(|item| {
                let (tag, weight) = item.split_once(';').unwrap_or((item, "q=1"));
                let weight =
                    weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok()).unwrap_or(1.0);
                let primary = tag.trim().split('-').next().unwrap_or_default();
                let found = ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(primary));
                found.filter(|_| weight > 0.0).map(|language| (weight, language))
            })
            .collect();
        wanted.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        wanted.first().map_or(Self::English, |(_, language)| *language)
    }

    /// As in `lang` and `Content-Language`.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::French => "fr",
            Self::Japanese => "ja",
        }
    }

    /// A text by its key; English if the translation lacks it.
    pub fn text(self, key: &str) -> &'static str {
        let of = |language: Self| TEXTS[language as usize].get(key).map(String::as_str);
        of(self).or_else(|| of(Self::English)).unwrap_or_default()
    }

    /// What a problem of this type means, for readers of another language than its English detail.
    pub(crate) fn of_problem(self, kind: &str) -> Option<&'static str> {
        (self != Self::English).then(|| self.text(&problem_key(kind, "")))
    }

    /// The title of a problem of this type, in another language than English.
    pub(crate) fn title_of_problem(self, kind: &str) -> Option<&'static str> {
        (self != Self::English).then(|| self.text(&problem_key(kind, ".title")))
    }

    /// A text with one place filled.
    pub(crate) fn fill(self, key: &str, name: &str, value: impl AsRef<str>) -> String {
        self.with(key, &[(name, value.as_ref())])
    }

    /// A text with its `{places}` filled.
    pub(crate) fn with(self, key: &str, values: &[(&str, &str)]) -> String {
        let mut rest = self.text(key);
        let mut text = String::with_capacity(rest.len());
        // In one pass: a value may look like a place.
        while let Some(at) = rest.find('{') {
            text.push_str(&rest[..at]);
            rest = &rest[at..];
            let value = values
                .iter()
                .find_map(|(name, value)| Some((value, rest[1..].strip_prefix(name)?.strip_prefix('}')?)));
            match value {
                Some((value, after)) => {
                    text.push_str(value);
                    rest = after;
                }
                None => {
                    text.push('{');
                    rest = &rest[1..];
                }
            }
        }
        text.push_str(rest);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_language_is_found() {
        for (accept, expected) in [
            ("", Language::English),
            ("de", Language::German),
            ("de-CH, fr;q=0.9", Language::German),
            ("fr;q=0.5, ja;q=0.9, en;q=0.1", Language::Japanese),
            ("es, pt-BR;q=0.9", Language::English),
            ("es, fr;q=0.1", Language::French),
            ("de;q=0, fr;q=x", Language::French),
            ("*", Language::English),
            ("FR-ca", Language::French),
            (";;,,q=", Language::English),
        ] {
            assert_eq!(Language::wanted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn every_language_has_every_text_with_the_same_places() {
        let places = |text: &str| {
            let mut places: Vec<_> =
                text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect();
            places.sort();
            places.dedup();
            places
        };
        for language in ALL {
            for (key, english) in &TEXTS[0] {
                // Languages have other plural forms.
                if key.ends_with(".one") && language == Language::Japanese {
                    continue;
                }
                let text = TEXTS[language as usize].get(key).map(String::as_str).unwrap_or_default();
                assert!(!text.is_empty(), "{} lacks {key}", language.tag());
                // In a plural form, a word may stand for the number.
                if ![".one", ".other"].iter().any(|form| key.ends_with(form)) {
                    assert_eq!(places(text), places(english), "{} {key}", language.tag());
                }
            }
            assert!(TEXTS[language as usize].len() <= TEXTS[0].len(), "{} has more", language.tag());
        }
        let values = [("partner", "A {ticket}"), ("ticket", "7{partner}")];
        assert_eq!(Language::English.with("page.for-ticket", &values), "For A {ticket}, ticket 7{partner}");
        assert_eq!(Language::German.with("page.for", &values), "Für A {ticket}");
    }
}
