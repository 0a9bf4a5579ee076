//! Every mistake is named with line, key and mend; a good file reads as written.

use super::*;

const GOOD: &str = r#"
[server]
listen = "127.0.0.1:0"
public_url = "https://files.example.com/"
[ledger]
url = "sqlite:/tmp/ledger.db"
[limits]
ticket_attachment_bytes = 10
link_expiry = "36h"
[desk]
url = "https://example.zendesk.com"
client_id = "id"
client_secret = "secret"
[support_uploader]
bucket = "shared"
prefix = "in"
[partners.globex]
name = "Globex"
organization_id = 7
[partners.globex.bucket]
bucket = "globex"
access_key_id = "k"
secret_access_key = "s"
"#;

#[test]
fn a_good_file_reads_as_written() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.server.public_url.as_deref(), Some("https://files.example.com"));
    assert_eq!(config.limits.ticket_attachment_bytes, 10);
    assert_eq!(config.limits.link_expiry, Duration::from_secs(36 * 3600));
    assert_eq!(config.support_uploader.prefix, "in/");
    assert_eq!(config.partners["globex"].organization_id, Some(7));
    assert!(config.partners["globex"].bucket.is_some());
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let text = GOOD.replace("\"secret\"", "\"hush-1\"").replace("\"s\"", "\"hush-2\"");
    let text = text.replace("\"sqlite:/tmp/ledger.db\"", "\"postgres://u:hush-3@h/d\"");
    assert!(!format!("{:?}", parse(&text).unwrap()).contains("hush"));
}

#[test]
fn the_ledger_s_address_may_be_a_secret() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "postgres://u:hush@h/d\n").unwrap();
    let from_file = format!("{{ file = {:?} }}", file.path());
    let config = parse(&GOOD.replace("\"sqlite:/tmp/ledger.db\"", &from_file)).unwrap();
    assert_eq!(config.ledger_url.reveal(), "postgres://u:hush@h/d");
    for wrong in
        ["postgres://u:hu/sh@h/d", "postgres://u:hush@h/d?pasword=hush", "postgres://u:hush@h/d?sslmode=yes"]
    {
        let mistakes = parse(&GOOD.replace("sqlite:/tmp/ledger.db", wrong)).unwrap_err();
        let said = mistakes.iter().map(ToString::to_string).collect::<String>();
        assert!(
            said.starts_with("line 6: ledger.url: ") && !said.contains("hush") && !said.contains("sh@"),
            "{said}"
        );
    }
}

#[test]
fn mistakes_name_line_key_and_mend() {
    for (from, to, line, key, mend) in [
        ("listen = \"127.0.0.1:0\"", "listen = 8080", 3, "server.listen", "quotes"),
        ("listen = \"127.0.0.1:0\"", "listen = \"8080\"", 3, "server.listen", "127.0.0.1:8080"),
        ("listen =", "listn =", 3, "server.listn", "did you mean `listen`?"),
        ("\"sqlite:/tmp/ledger.db\"", "\"mysql:x\"", 6, "ledger.url", "sqlite:PATH"),
        ("link_expiry = \"36h\"", "link_expiry = \"soon\"", 9, "limits.link_expiry", "48h"),
        ("link_expiry = \"36h\"", "memory_bytes = 5", 9, "limits.memory_bytes", "at least"),
        (
            "link_expiry = \"36h\"",
            "max_upload_bytes = 9000000000000",
            9,
            "limits.max_upload_bytes",
            "at most",
        ),
        ("[ledger]", "[log]\nformat = \"xml\"\n[ledger]", 6, "log.format", "json"),
        ("[ledger]", "[log]\nlevel = \"loud\"\n[ledger]", 6, "log.level", "info"),
        ("client_secret = \"secret\"", "", 12, "desk.client_id", "email and api_token"),
        ("\"secret\"", "{ env = \"NO_SUCH_VARIABLE_HERE\" }", 13, "desk.client_secret", "set it"),
        ("\"secret\"", "{ file = \"/no/such/file\" }", 13, "desk.client_secret", "readable"),
        ("url = \"https://example.zendesk.com\"", "", 10, "desk.url", "zendesk.com"),
        ("bucket = \"shared\"", "", 14, "support_uploader.bucket", "bucket = "),
        ("[partners.globex]", "[partners.Globex_]", 17, "partners.Globex_", "lower-case"),
        ("prefix = \"in\"", "external_id = \"x\"", 16, "support_uploader.external_id", "add `role_arn`"),
        (
            "prefix = \"in\"",
            "role_arn = \"admin\"",
            16,
            "support_uploader.role_arn",
            "arn:aws:iam::123456789012:role/NAME",
        ),
        (
            "prefix = \"in\"",
            "expected_owner = \"globex\"",
            16,
            "support_uploader.expected_owner",
            "12 digits",
        ),
        (
            "prefix = \"in\"",
            "profile = \"a\"\naccess_key_id = \"k\"\nsecret_access_key = \"s\"",
            17,
            "support_uploader.access_key_id",
            "profile alone",
        ),
        ("organization_id = 7", "organization_id = \"x\"", 19, "partners.globex.organization_id", "digits"),
    ] {
        let mistakes = parse(&GOOD.replacen(from, to, 1)).unwrap_err();
        assert!(
            mistakes.iter().any(|m| m.line == line && m.key == key && m.mend.contains(mend)),
            "{to}: {}",
            mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        );
    }
}

#[test]
fn links_name_an_address_that_can_be_reached() {
    let listening = |on: &str| {
        let text = GOOD.replace("public_url = \"https://files.example.com/\"\n", "");
        text.replace("127.0.0.1:0", on)
    };
    for on in ["0.0.0.0:8080", "[::]:8080", "[::ffff:0.0.0.0]:8080"] {
        let mistakes = parse(&listening(on)).unwrap_err();
        let said = mistakes.iter().map(ToString::to_string).collect::<String>();
        assert!(said.contains("server.public_url") && said.contains("files.example.com"), "{on}: {said}");
        assert_eq!(mistakes.len(), 1, "{said}");
        assert!(parse(&GOOD.replace("127.0.0.1:0", on)).is_ok(), "{on}");
    }
    let config = parse(GOOD).unwrap();
    assert_eq!(config.server.base_url(config.server.listen), "https://files.example.com");
    let mut config = parse(&listening("127.0.0.1:8443")).unwrap();
    assert_eq!(config.server.base_url(config.server.listen), "http://127.0.0.1:8443");
    config.server.tls = Some(("chain.pem".into(), "key.pem".into()));
    assert_eq!(config.server.base_url(config.server.listen), "https://127.0.0.1:8443");
}

#[test]
fn every_mistake_is_named_at_once() {
    let mistakes = parse("[server]\nlisten = 1\n[limits]\nmemory_bytes = \"x\"\n").unwrap_err();
    let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
    for key in ["server.listen", "limits.memory_bytes", "ledger.url", "desk.url", "support_uploader.bucket"] {
        assert!(keys.contains(&key), "{key} in {keys:?}");
    }
    assert_eq!(parse("[server\n").unwrap_err()[0].line, 1);
}

#[test]
fn a_role_is_assumed_as_whom_the_section_names() {
    let role = "role_arn = \"arn:aws-cn:iam::123456789012:role/team/r\"\nexternal_id = \"hush-3\"";
    let with = |text: &str| parse(&text.replace("bucket = \"globex\"", &format!("bucket = \"b\"\n{role}")));
    let config = with(GOOD).unwrap();
    assert!(!format!("{config:?}").contains("hush-3"), "an external id is shown");
    let own = config.partners["globex"].bucket.as_ref().unwrap();
    let bucket::Credentials::Role { base, role_arn, external_id, session_name } = &own.credentials else {
        panic!("{own:?}")
    };
    assert!(matches!(**base, bucket::Credentials::Static { .. }), "{base:?}");
    assert_eq!(role_arn, "arn:aws-cn:iam::123456789012:role/team/r");
    assert_eq!((external_id.as_deref(), session_name.as_str()), (Some("hush-3"), "weighbridge-globex"));
    let chain = GOOD.replace("access_key_id = \"k\"\nsecret_access_key = \"s\"", "");
    let config = with(&chain).unwrap();
    let own = config.partners["globex"].bucket.as_ref().unwrap();
    let bucket::Credentials::Role { base, .. } = &own.credentials else { panic!("{own:?}") };
    assert!(matches!(**base, bucket::Credentials::Chain), "{base:?}");
}

#[test]
fn a_bucket_is_found_in_the_file_by_its_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), GOOD).unwrap();
    for (bucket, line) in [(SUPPORT_UPLOADER, 14), ("globex", 20), ("nobody", 1)] {
        assert_eq!(bucket_line(file.path(), bucket), line, "{bucket}");
    }
}
