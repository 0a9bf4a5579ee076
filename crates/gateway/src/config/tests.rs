//! Every mistake is named with line, key and fix; a good file reads as written.

use std::time::Duration;

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
prefix = "in/"
[partners.globex]
name = "Globex"
organization_id = 7
[partners.globex.bucket]
bucket = "globex"
access_key_id = "k"
secret_access_key = "s"
"#;

fn read(text: &str) -> Result<Config, Vec<Mistake>> {
    parse(text, false)
}

#[test]
fn a_good_file_reads_as_written() {
    let config = read(GOOD).unwrap();
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
    let text = text.replace("client_id = \"id\"", "client_id = \"id\"\nwebhook_secret = \"hush-4\"");
    let text = text.replace("name = \"Globex\"", "name = \"Globex\"\nworkflow_secret = \"hush-5\"");
    let text = format!("{text}[slack]\nbot_token = \"hush-6\"\nsigning_secret = \"hush-7\"\n");
    for secret in 1..=7 {
        assert!(text.contains(&format!("hush-{secret}")));
    }
    assert!(!format!("{:?}", read(&text).unwrap()).contains("hush"));
}

#[test]
fn a_channel_belongs_to_one_partner_or_to_the_leaders() {
    let of = |leaders: &str, globex: &str, acme: &str| {
        let text =
            GOOD.replace("name = \"Globex\"", &format!("name = \"Globex\"\nslack_channel = \"{globex}\""));
        let rest = format!(
            "[partners.acme]\nslack_channel = \"{acme}\"\n[support]\nleaders_channel = \"{leaders}\"\n"
        );
        read(&(text + &rest))
            .err()
            .unwrap_or_default()
            .into_iter()
            .map(|mistake| mistake.key)
            .collect::<Vec<_>>()
    };
    assert!(of("C1", "C2", "C3").is_empty());
    assert_eq!(of("C1", "C1", "C3"), ["partners.globex.slack_channel"]);
    assert_eq!(of("C1", "C2", "C2").len(), 1, "one of the two must change");
    assert_eq!(of("leaders", "C2", "C3"), ["support.leaders_channel"]);
}

#[test]
fn the_ledger_s_address_may_be_a_secret() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "postgres://u:hush@h/d\n").unwrap();
    let from_file = format!("{{ file = {:?} }}", file.path());
    let config = read(&GOOD.replace("\"sqlite:/tmp/ledger.db\"", &from_file)).unwrap();
    assert_eq!(config.ledger_url.reveal(), "postgres://u:hush@h/d");
    for wrong in
        ["postgres://u:hu/sh@h/d", "postgres://u:hush@h/d?pasword=hush", "postgres://u:hush@h/d?sslmode=yes"]
    {
        let mistakes = read(&GOOD.replace("sqlite:/tmp/ledger.db", wrong)).unwrap_err();
        let said = mistakes.iter().map(ToString::to_string).collect::<String>();
        assert!(
            said.starts_with("line 6: ledger.url: ") && !said.contains("hush") && !said.contains("sh@"),
            "{said}"
        );
    }
}

/// What stands in the good file, what to write instead, and where and how that is told.
type Row<'a> = (&'a str, &'a str, usize, &'a str, &'a str);

fn told(rows: &[Row<'_>]) {
    for (from, to, line, key, fix) in rows {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        let mistakes = read(&text).unwrap_err();
        assert!(
            mistakes.iter().any(|m| m.line == *line && m.key == *key && m.fix.contains(fix)),
            "{to}: {}",
            mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        );
    }
}

#[test]
fn mistakes_name_line_key_and_fix() {
    told(&[
        ("listen = \"127.0.0.1:0\"", "listen = 8080", 3, "server.listen", "quotes"),
        ("listen = \"127.0.0.1:0\"", "listen = \"8080\"", 3, "server.listen", "127.0.0.1:8080"),
        ("listen =", "listn =", 3, "server.listn", "did you mean `listen`?"),
        (
            "[ledger]",
            "connections_per_address = 0\n[ledger]",
            5,
            "server.connections_per_address",
            "at least 1",
        ),
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
        ("prefix = \"in/\"", "external_id = \"x\"", 16, "support_uploader.external_id", "add `role_arn`"),
        (
            "prefix = \"in/\"",
            "role_arn = \"admin\"",
            16,
            "support_uploader.role_arn",
            "arn:aws:iam::123456789012:role/NAME",
        ),
        (
            "prefix = \"in/\"",
            "expected_owner = \"globex\"",
            16,
            "support_uploader.expected_owner",
            "12 digits",
        ),
        (
            "prefix = \"in/\"",
            "profile = \"a\"\naccess_key_id = \"k\"\nsecret_access_key = \"s\"",
            17,
            "support_uploader.access_key_id",
            "profile alone",
        ),
        ("organization_id = 7", "organization_id = \"x\"", 19, "partners.globex.organization_id", "digits"),
    ]);
}

#[test]
fn limits_that_cannot_be_are_mistakes() {
    told(&[
        ("link_expiry = \"36h\"", "link_expiry = 48", 9, "limits.link_expiry", "\"48h\""),
        ("link_expiry = \"36h\"", "link_expiry = \"48\"", 9, "limits.link_expiry", "\"48h\""),
        ("link_expiry = \"36h\"", "resume_window = 2", 9, "limits.resume_window", "\"2h\""),
        ("link_expiry = \"36h\"", "min_rate_window = 10", 9, "limits.min_rate_window", "\"10s\""),
        ("link_expiry = \"36h\"", "header_timeout = 10", 9, "limits.header_timeout", "\"10s\""),
        ("link_expiry = \"36h\"", "discard_time = 10", 9, "limits.discard_time", "\"10s\""),
        ("link_expiry = \"36h\"", "storage_wait = 90", 9, "limits.storage_wait", "\"90s\""),
        ("link_expiry = \"36h\"", "storage_wait = \"601s\"", 9, "limits.storage_wait", "at most 10m"),
        ("link_expiry = \"36h\"", "drain_notice = 1", 9, "limits.drain_notice", "\"1s\""),
        ("link_expiry = \"36h\"", "drain_time = 1", 9, "limits.drain_time", "\"1s\""),
        ("link_expiry = \"36h\"", "min_rate = \"fast\"", 9, "limits.min_rate", "`1000`"),
        ("link_expiry = \"36h\"", "min_rate = true", 9, "limits.min_rate", "`1000`"),
        ("link_expiry = \"36h\"", "link_open_uploads = 5000000000", 9, "limits.link_open_uploads", "at most"),
        ("link_expiry = \"36h\"", "form_files = 5000000000", 9, "limits.form_files", "at most"),
        ("link_expiry = \"36h\"", "memory_bytes = \"2TiB\"", 9, "limits.memory_bytes", "at most"),
        (
            "ticket_attachment_bytes = 10",
            "ticket_attachment_bytes = \"50.1MB\"",
            8,
            "limits.ticket_attachment_bytes",
            "50000000",
        ),
    ]);
}

#[test]
fn addresses_names_and_secrets_that_cannot_be_are_mistakes() {
    told(&[
        (
            "listen = \"127.0.0.1:0\"",
            "listen = \"127.0.0.1:9090\"\nmetrics_listen = \"127.0.0.1:9090\"",
            4,
            "server.metrics_listen",
            "port of its own",
        ),
        (
            "listen = \"127.0.0.1:0\"",
            "listen = \"127.0.0.1:9090\"\nmetrics_listen = \"0.0.0.0:9090\"",
            4,
            "server.metrics_listen",
            "port of its own",
        ),
        (
            "listen = \"127.0.0.1:0\"",
            "listen = \"127.0.0.1:0\"\nmax_connections = 9000000000000000000",
            4,
            "server.max_connections",
            "write 1 to",
        ),
        ("prefix = \"in/\"", "prefix = \"in\"", 16, "support_uploader.prefix", "`\"in/\"`"),
        ("prefix = \"in/\"", "prefix = \"/in/\"", 16, "support_uploader.prefix", "`\"in/\"`"),
        ("prefix = \"in/\"", "prefix = \"/\"", 16, "support_uploader.prefix", "remove it"),
        ("bucket = \"globex\"", "bucket = \"shared\"", 20, "partners.globex.bucket.prefix", "a prefix"),
        (
            "bucket = \"globex\"",
            "bucket = \"shared\"\nprefix = \"in/globex/\"",
            20,
            "partners.globex.bucket.prefix",
            "a prefix",
        ),
        ("name = \"Globex\"", "name = \" \"", 18, "partners.globex.name", "for people"),
        (
            "url = \"https://example.zendesk.com\"",
            "url = \"http://example.zendesk.com\"",
            11,
            "desk.url",
            "https",
        ),
        ("\"secret\"", "\"\"", 13, "desk.client_secret", "put the secret there"),
        ("\"s\"", "\" \"", 23, "partners.globex.bucket.secret_access_key", "put the secret there"),
    ]);
    for empty in ["", "\n", " \r\n"] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), empty).unwrap();
        let from_file = format!("{{ file = {:?} }}", file.path());
        told(&[("\"secret\"", &from_file, 13, "desk.client_secret", "put the secret there")]);
    }
}

#[test]
fn a_wrong_number_is_told_in_its_own_words() {
    for (line, said) in [
        ("min_rate = -5", "is negative"),
        ("link_open_uploads = -5", "is negative"),
        ("link_expiry = -5", "is negative"),
        ("link_expiry = \"-5h\"", "is negative"),
        ("max_upload_bytes = \"-5\"", "is negative"),
        ("max_upload_bytes = 1.5", "is not a whole number"),
        ("max_upload_bytes = 0", "is 0"),
        ("link_expiry = \"0s\"", "is 0"),
        ("resume_window = \"0s\"", "is 0"),
        ("min_rate_window = \"0s\"", "is 0"),
        ("header_timeout = \"0s\"", "is 0"),
        ("form_files = 0", "is 0"),
        ("link_unfinished_bytes = 99999999999999999999", "is too large"),
        ("resume_window = \"99999999h\"", "is longer than ten years"),
        ("resume_window = true", "is not a duration"),
    ] {
        let mistakes = read(&GOOD.replace("link_expiry = \"36h\"", line)).unwrap_err();
        assert!(mistakes.len() == 1 && mistakes[0].what == said, "{line}: {mistakes:?}");
    }
    let text = GOOD.replace("organization_id = 7", "organization_id = 9223372036854775808");
    assert_eq!(read(&text).unwrap_err()[0].what, "is too large");
}

#[test]
fn sizes_may_name_a_unit() {
    let lines =
        "memory_bytes = \"512MiB\"\nmax_upload_bytes = \"20GB\"\nmin_rate = \"2kB\"\ndiscard_bytes = 5";
    let limits = read(&GOOD.replace("link_expiry = \"36h\"", lines)).unwrap().limits;
    assert_eq!((limits.memory_bytes, limits.max_upload_bytes), (512 << 20, 20_000_000_000));
    assert_eq!(
        (limits.min_rate, limits.discard_bytes, limits.link_unfinished_bytes),
        (2_000, 5, 40_000_000_000)
    );
}

#[test]
fn no_bucket_has_an_impossible_name() {
    let named = |name: &str, endpoint: &str| {
        read(&GOOD.replace("bucket = \"shared\"", &format!("bucket = {name:?}{endpoint}"))).map(drop)
    };
    let elsewhere = "\nendpoint = \"http://store:3900\"";
    for name in [
        "",
        " ",
        "Shared",
        "a",
        "my_bucket",
        "-shared",
        "shared.",
        "a..b",
        "192.0.2.1",
        "s/t",
        &"s".repeat(64),
    ] {
        let mistakes = named(name, "").unwrap_err();
        assert!(mistakes.len() == 1 && mistakes[0].key == "support_uploader.bucket", "{name}: {mistakes:?}");
    }
    for name in ["", " ", "s/t", "s?t", "s t"] {
        assert!(named(name, elsewhere).is_err(), "{name}");
    }
    for name in ["Shared", "my_bucket", "shared"] {
        assert_eq!(named(name, elsewhere), Ok(()), "{name}");
    }
    let point = "arn:aws:s3:eu-central-1:123456789012:accesspoint/in";
    for name in ["shared", "s3.example.com", point] {
        assert_eq!(named(name, ""), Ok(()), "{name}");
    }
}

/// Permissions of a file, as `chmod` writes them.
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_is_not_safe_is_a_warning() {
    let open = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(open.path(), "hush\n").unwrap();
    let from_file = format!("{{ file = {:?} }}", open.path());
    let with = |from: &str, to: &str| read(&GOOD.replace(from, to)).unwrap().warnings.join("\n");
    set_mode(open.path(), 0o640);
    assert_eq!(with("\"secret\"", &from_file), "");
    set_mode(open.path(), 0o644);
    let listen = "listen = \"127.0.0.1:0\"";
    for (from, to, expected) in [
        ("\"secret\"", from_file.as_str(), "line 13: desk.client_secret: warning: everybody"),
        (listen, "trusted_proxies = \"0.0.0.0/0\"", "line 3: server.trusted_proxies: warning: "),
        (listen, "trusted_proxies = [\"::1\", \"::/0\"]", "line 3: server.trusted_proxies: warning: "),
        ("https://files.example.com/", "http://files.example.com/", "line 4: server.public_url: warning: "),
        ("link_expiry = \"36h\"", "min_rate = 0", "line 9: limits.min_rate: warning: "),
    ] {
        let said = with(from, to);
        assert!(said.starts_with(expected) && said.lines().count() == 1, "{to}: {said}");
    }
}

#[test]
fn files_with_secrets_that_everybody_may_read_are_warnings() {
    let [file, secret] = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
    std::fs::write(secret.path(), "hush\n").unwrap();
    let elsewhere = GOOD.replace("\"secret\"", &format!("{{ file = {:?} }}", secret.path()));
    let [desk, bucket] = ["line 13: desk.client_secret", "line 23: partners.globex.bucket.secret_access_key"];
    for (text, mode, secret_mode, places) in [
        (GOOD, 0o600, 0o600, &[][..]),
        (GOOD, 0o640, 0o600, &[]),
        (GOOD, 0o644, 0o600, &[desk, bucket]),
        (&elsewhere, 0o600, 0o640, &[]),
        (&elsewhere, 0o600, 0o644, &[desk]),
        (&elsewhere, 0o644, 0o600, &[bucket]),
    ] {
        std::fs::write(file.path(), text).unwrap();
        set_mode(file.path(), mode);
        set_mode(secret.path(), secret_mode);
        let warnings = load(file.path()).unwrap().warnings;
        let begins = places.iter().map(|place| format!("{}: {place}: warning: ", file.path().display()));
        assert_eq!(warnings.len(), places.len(), "{mode:o} {secret_mode:o}: {warnings:?}");
        for (begin, said) in begins.zip(&warnings) {
            assert!(
                said.starts_with(&begin) && said.contains("everybody on this machine may read"),
                "{said}"
            );
            assert!(said.contains("chmod o="), "{said}");
        }
    }
}

#[test]
fn links_name_an_address_that_can_be_reached() {
    let listening = |on: &str| {
        let text = GOOD.replace("public_url = \"https://files.example.com/\"\n", "");
        text.replace("127.0.0.1:0", on)
    };
    for on in ["0.0.0.0:8080", "[::]:8080", "[::ffff:0.0.0.0]:8080"] {
        let mistakes = read(&listening(on)).unwrap_err();
        let said = mistakes.iter().map(ToString::to_string).collect::<String>();
        assert!(said.contains("server.public_url") && said.contains("files.example.com"), "{on}: {said}");
        assert_eq!(mistakes.len(), 1, "{said}");
        assert!(read(&GOOD.replace("127.0.0.1:0", on)).is_ok(), "{on}");
    }
    let config = read(GOOD).unwrap();
    assert_eq!(config.server.base_url(config.server.listen), "https://files.example.com");
    let mut config = read(&listening("127.0.0.1:8443")).unwrap();
    assert_eq!(config.server.base_url(config.server.listen), "http://127.0.0.1:8443");
    config.server.tls = Some(("chain.pem".into(), "key.pem".into()));
    assert_eq!(config.server.base_url(config.server.listen), "https://127.0.0.1:8443");
}

#[test]
fn every_mistake_is_named_at_once() {
    let mistakes = read("[server]\nlisten = 1\n[limits]\nmemory_bytes = \"x\"\n").unwrap_err();
    let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
    for key in ["server.listen", "limits.memory_bytes", "ledger.url", "desk.url", "support_uploader.bucket"] {
        assert!(keys.contains(&key), "{key} in {keys:?}");
    }
    assert_eq!(read("[server\n").unwrap_err()[0].line, 1);
}

#[test]
fn a_role_is_assumed_as_whom_the_section_names() {
    let role = "role_arn = \"arn:aws-cn:iam::123456789012:role/team/r\"\nexternal_id = \"hush-3\"";
    let with = |text: &str| read(&text.replace("bucket = \"globex\"", &format!("bucket = \"own\"\n{role}")));
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

#[test]
fn files_are_kept_for_ever_without_a_retention() {
    let policy = |text: &str| read(text).unwrap().policy();
    assert_eq!(policy(GOOD).retention_of("globex"), None);
    let day = |days: u64| Duration::from_secs(days * 86_400);
    let text =
        format!("{GOOD}[partners.globex.retention]\ngrace = \"90d\"\n[retention]\nmaximum = \"400d\"\n");
    let own = policy(&text).retention_of("globex").unwrap();
    assert_eq!((own.grace, own.minimum, own.maximum), (day(90), day(7), day(400)));
    let general = policy(&text).retention_of("acme").unwrap();
    assert_eq!((general.grace, policy(&text).warn_before), (day(30), day(7)));
    for (section, key) in [
        ("[retention]\nmaximum = \"10d\"", "retention.maximum"),
        ("[retention]\ngrace = 30", "retention.grace"),
        ("[retention]\ncheck_every = \"0s\"", "retention.check_every"),
        ("[retention]\ngracious = \"1d\"", "retention.gracious"),
        ("[partners.globex.retention]\ngrace = \"90d\"", "partners.globex.retention"),
        ("[retention]\n[partners.globex.retention]\nmaximum = \"1d\"", "partners.globex.retention"),
    ] {
        let mistakes = read(&format!("{GOOD}{section}\n")).unwrap_err();
        assert!(mistakes.iter().any(|mistake| mistake.key.starts_with(key)), "{section}: {mistakes:?}");
    }
}
