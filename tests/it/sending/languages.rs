//! Pages in the reader's language.

use std::process::Stdio;

use serde_json::json;
use tests::{Answer, World, curl_raw};

fn ask(language: &str, arguments: &[&str]) -> Answer {
    let language = format!("Accept-Language: {language}");
    let headers = ["-H", "Accept: text/html", "-H", &language];
    curl_raw(&[&headers, arguments].concat(), Stdio::null())
}

/// The texts of the page's elements of this kind.
fn texts(page: &Answer, element: &str) -> Vec<String> {
    let (begin, end) = (format!("<{element}"), format!("</{element}>"));
    let parts = page.body.split(&begin).skip(1);
    let texts = parts.filter_map(|part| part.split_once('>')?.1.split_once(&end));
    texts.map(|(text, _)| text.to_owned()).collect()
}

#[test]
fn every_page_of_a_link_speaks_the_language_of_its_reader() {
    let world = World::start();
    let sandbox = &world.sandbox;
    let rights = json!({"partner": "acme", "rights": ["upload", "list", "open-ticket", "escalate"]});
    let made = sandbox.staff("/links", &["-H", "Content-Type: application/json", "-d", &rights.to_string()]);
    let link = made.json()["url"].as_str().unwrap().to_owned();
    let host = link.split_once("/u/").unwrap().0.to_owned();
    let bound = world.link("acme");
    let file = format!("file=@{}", world.path("a.log", b"a"));
    let refused = format!("{file};filename=b/..");
    let part = world.path("part.bin", &[7; 1_000]);
    let begun = curl_raw(
        &["-H", "Content-Range: bytes 0-999/3000", "-T", &part, &format!("{bound}/part.bin")],
        Stdio::null(),
    );
    let unfinished = begun.headers["location"].clone();
    let escalated = json!({"request": "1001", "reason": "Down", "actions": "Call"}).to_string();
    let json = ["-H", "Content-Type: application/json", "-d", escalated.as_str()];
    let escalation = curl_raw(&[&json[..], &[&format!("{link}/escalate")]].concat(), Stdio::null());
    let escalation = escalation.headers["location"].clone();
    let of = |path: &str| format!("{link}/{path}");
    let (tickets, escalate, note) = (of("tickets"), of("escalate"), format!("{bound}/note"));
    let pages: [&[&str]; 12] = [
        &[&format!("{host}/")],
        &[&link],
        &[&bound],
        &[&tickets],
        &[&escalate],
        &[&escalation],
        &[&unfinished],
        &["-d", "text=Hello", &note],
        &["-F", &file, &bound],
        &["-F", &file, "-F", &refused, &bound],
        &["-F", "contact=x", &tickets],
        &[&format!("{host}/u/nobody")],
    ];
    for arguments in pages {
        let english = ask("en", arguments);
        assert!(english.body.contains("<html lang=\"en\">"), "{arguments:?}: {english:?}");
        for language in ["de", "fr", "ja"] {
            let page = ask(language, arguments);
            let case = format!("{language} {arguments:?}: {page:?}");
            assert!(page.body.contains(&format!("<html lang=\"{language}\">")), "{case}");
            assert_eq!(page.headers["content-language"], language, "{case}");
            assert_eq!(page.headers["vary"], "Accept-Language", "{case}");
            assert_ne!(texts(&page, "h1"), texts(&english, "h1"), "{case}");
            // Names, digests, and what is marked as English are the same everywhere.
            let known = texts(&english, "p");
            let is_english = |text: &str| {
                let marked = [" id=\"detail\"", ""].map(|more| format!("lang=\"en\"{more}>{text}<"));
                marked.iter().any(|marked| page.body.contains(marked))
            };
            let shared: Vec<_> = texts(&page, "p")
                .into_iter()
                .filter(|text| known.contains(text) && !text.contains("SHA-256") && !is_english(text))
                // The same word in German and French.
                .filter(|text| !text.starts_with("Status "))
                .filter(|text| !text.contains(">Description<"))
                .collect();
            assert_eq!(shared, Vec::<String>::new(), "{case}");
        }
    }
}

/// A refusal says in the reader's language what it is; its exact words are in English and marked so.
#[test]
fn refusals_are_explained_in_the_language_of_the_reader() {
    let world = World::start();
    let unknown = format!("{}/u/nobody", world.link("acme").split_once("/u/").unwrap().0);
    let page = ask("de", &[&unknown]);
    assert_eq!(page.status, 404, "{page:?}");
    for part in
        ["<h1>Unbekannter Upload-Link</h1>", "<p lang=\"en\" id=\"detail\">This upload link does not exist."]
    {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    let english = ask("en", &[&unknown]);
    assert_eq!(english.body.matches("does not exist").count(), 1, "said once: {}", english.body);
}
