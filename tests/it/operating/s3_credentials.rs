//! The identity the gateway uses for S3: the requests it sends for each way that AWS tools configure credentials, region and
//! endpoint. Runs `weighbridge config check --online` against a recording store.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use tests::{Quirks, QuirkyS3, abort_after, printed, program, write_private};

/// A configuration in a folder of its own, which is also the home of the program's user.
struct Operator {
    folder: tempfile::TempDir,
}

impl Operator {
    /// With these lines in the section of the shared bucket.
    fn new(lines: &str) -> Self {
        let operator = Self { folder: tempfile::tempdir().unwrap() };
        operator.write(
            "weighbridge.toml",
            &format!(
                "[server]\nlisten = \"127.0.0.1:0\"\n[ledger]\nurl = \"sqlite:{}\"\n[desk]\nurl = \
                 \"http://127.0.0.1:9\"\nemail = \"a@example.com\"\napi_token = \"t\"\n[support_uploader]\nbucket = \
                 \"shared\"\n{lines}\n",
                operator.path("ledger.db").display()
            ),
        );
        operator
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_private(&path, text);
    }

    /// `config check --online` in an environment with nothing but this.
    fn check(&self, environment: &[(String, String)]) -> Output {
        self.check_with(&["--online"], environment)
    }

    fn check_with(&self, arguments: &[&str], environment: &[(String, String)]) -> Output {
        Command::new(program("weighbridge"))
            .args(["config", "check"])
            .args(arguments)
            .arg("--config")
            .arg(self.path("weighbridge.toml"))
            .env_clear()
            .env("HOME", self.folder.path())
            // Do not wait for an instance metadata service that does not exist here.
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(environment.iter().cloned())
            .output()
            .unwrap()
    }
}

fn environment(pairs: &[(&str, &str)], url: &str, home: &Path) -> Vec<(String, String)> {
    let home = home.to_str().unwrap();
    let filled = |text: &str| text.replace("URL", url).replace("HOME", home);
    // Names hold `URL`, too.
    pairs.iter().map(|(name, value)| ((*name).to_owned(), filled(value))).collect()
}

/// One way to give credentials, and what S3 must see of it.
struct Case {
    name: &'static str,
    /// Lines of the section; `URL` is the store's.
    section: &'static str,
    environment: &'static [(&'static str, &'static str)],
    /// Files below the home.
    files: &'static [(&'static str, &'static str)],
    key_id: &'static str,
    token: &'static str,
    region: &'static str,
}

const KEYS: &str =
    "endpoint = \"URL\"\npath_style = true\naccess_key_id = \"AKIAOWN\"\nsecret_access_key = \"s\"";
const CHAIN: &str = "endpoint = \"URL\"\npath_style = true\nregion = \"eu-west-1\"";

const CASES: [Case; 11] = [
    Case {
        name: "the section's own keys, whatever the environment says",
        section: KEYS,
        environment: &[
            ("AWS_ACCESS_KEY_ID", "AKIAOTHER"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
            ("AWS_REGION", "ap-south-1"),
        ],
        files: &[],
        key_id: "AKIAOWN",
        token: "",
        region: "us-east-1",
    },
    Case {
        name: "environment, with its endpoint and region",
        section: "",
        environment: &[
            ("AWS_ACCESS_KEY_ID", "ASIAENV"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_SESSION_TOKEN", "token-of-env"),
            ("AWS_ENDPOINT_URL_S3", "URL"),
            ("AWS_REGION", "ap-south-1"),
        ],
        files: &[],
        key_id: "ASIAENV",
        token: "token-of-env",
        region: "ap-south-1",
    },
    Case {
        name: "a named profile, with its endpoint and region",
        section: "profile = \"fetch\"",
        environment: &[("AWS_CONFIG_FILE", "HOME/config"), ("AWS_SHARED_CREDENTIALS_FILE", "HOME/keys")],
        files: &[
            ("config", "[profile fetch]\nregion = eu-west-3\nendpoint_url = URL\n"),
            ("keys", "[fetch]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = s\n"),
        ],
        key_id: "AKIAPROFILE",
        token: "",
        region: "eu-west-3",
    },
    Case {
        name: "a profile that assumes a role",
        section: "profile = \"fetch\"\nendpoint = \"URL\"\npath_style = true",
        environment: &[("AWS_CONFIG_FILE", "HOME/config"), ("AWS_ENDPOINT_URL_STS", "URL")],
        files: &[(
            "config",
            "[profile fetch]\nregion = eu-west-3\nrole_arn = arn:aws:iam::123456789012:role/r\nexternal_id = \
             shared-word\nsource_profile = base\n[profile base]\naws_access_key_id = AKIABASE\n\
             aws_secret_access_key = s\n",
        )],
        key_id: "ASIAROLE1",
        token: "session-1",
        region: "eu-west-3",
    },
    Case {
        name: "a role assumed with the section's own keys",
        section: "endpoint = \"URL\"\npath_style = true\naccess_key_id = \"AKIAOWN\"\nsecret_access_key = \"s\"\n\
                  role_arn = \"arn:aws:iam::123456789012:role/r\"\nexternal_id = \"shared-word\"",
        environment: &[("AWS_ENDPOINT_URL_STS", "URL"), ("AWS_REGION", "eu-north-1")],
        files: &[],
        key_id: "ASIAROLE1",
        token: "session-1",
        region: "eu-north-1",
    },
    Case {
        name: "a role assumed with a profile, STS where the profile's services are",
        section: "endpoint = \"URL\"\npath_style = true\nregion = \"eu-west-1\"\nprofile = \"base\"\n\
                  role_arn = \"arn:aws:iam::123456789012:role/r\"\nexternal_id = { env = \"EXTERNAL\" }",
        environment: &[("AWS_CONFIG_FILE", "HOME/config"), ("EXTERNAL", "shared-word")],
        files: &[(
            "config",
            "[profile base]\nservices = local\naws_access_key_id = AKIABASE\naws_secret_access_key = s\n\
             [services local]\nsts =\n  endpoint_url = URL\n",
        )],
        key_id: "ASIAROLE1",
        token: "session-1",
        region: "eu-west-1",
    },
    Case {
        name: "a role assumed with the chain",
        section: "endpoint = \"URL\"\npath_style = true\nregion = \"eu-west-1\"\n\
                  role_arn = \"arn:aws:iam::123456789012:role/r\"\nexternal_id = \"shared-word\"",
        environment: &[
            ("AWS_ACCESS_KEY_ID", "AKIAENV"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_ENDPOINT_URL_STS", "URL"),
        ],
        files: &[],
        key_id: "ASIAROLE1",
        token: "session-1",
        region: "eu-west-1",
    },
    Case {
        name: "web identity, as in a Kubernetes pod",
        section: CHAIN,
        environment: &[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "HOME/identity"),
            ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r"),
            ("AWS_ENDPOINT_URL_STS", "URL"),
        ],
        files: &[("identity", "web-identity-token")],
        key_id: "ASIAROLE1",
        token: "session-1",
        region: "eu-west-1",
    },
    Case {
        name: "a container's agent",
        section: CHAIN,
        environment: &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "URL/container")],
        files: &[],
        key_id: "ASIACONTAINER",
        token: "token-of-ASIACONTAINER",
        region: "eu-west-1",
    },
    Case {
        name: "an instance's metadata",
        section: CHAIN,
        environment: &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "URL"), ("AWS_EC2_METADATA_DISABLED", "false")],
        files: &[],
        key_id: "ASIAINSTANCE",
        token: "token-of-ASIAINSTANCE",
        region: "eu-west-1",
    },
    Case {
        name: "SSO, after `aws sso login`",
        section: "endpoint = \"URL\"\npath_style = true\nregion = \"eu-west-1\"\nprofile = \"people\"",
        environment: &[("AWS_CONFIG_FILE", "HOME/config"), ("AWS_ENDPOINT_URL_SSO", "URL")],
        files: &[
            (
                "config",
                "[profile people]\nsso_start_url = https://example.awsapps.com/start\nsso_region = us-east-1\n\
                 sso_account_id = 123456789012\nsso_role_name = support\n",
            ),
            (
                // SHA-1 of the start URL.
                ".aws/sso/cache/e8be5486177c5b5392bd9aa76563515b29358e6e.json",
                r#"{"startUrl":"https://example.awsapps.com/start","region":"us-east-1","accessToken":"t","expiresAt":"2099-01-01T00:00:00Z"}"#,
            ),
        ],
        key_id: "ASIASSO",
        token: "token-of-ASIASSO",
        region: "eu-west-1",
    },
];

#[test]
fn credentials_region_and_endpoint_follow_aws_conventions() {
    for case in CASES {
        // Where a role is asked for with an external id, STS insists on it; web identity knows none.
        let external_id = case.files.iter().any(|(_, text)| text.contains("shared-word"))
            || case.section.contains("external_id");
        let store = QuirkyS3::start(Quirks {
            external_id: external_id.then_some("shared-word"),
            ..Quirks::default()
        });
        let operator = Operator::new(&case.section.replace("URL", &store.url));
        for (name, text) in case.files {
            operator.write(name, &text.replace("= URL", &format!("= {}", store.url)));
        }
        let output = operator.check(&environment(case.environment, &store.url, operator.folder.path()));
        assert!(output.status.success(), "{}: {}\n{:#?}", case.name, printed(&output), store.requests());
        let s3: Vec<_> =
            store.requests().into_iter().filter(|asked| asked.target.starts_with("/shared")).collect();
        assert!(s3.len() > 10, "{}: {s3:#?}", case.name);
        for asked in s3 {
            assert_eq!(asked.key_id(), case.key_id, "{}: {asked:?}", case.name);
            assert_eq!(asked.header("x-amz-security-token"), case.token, "{}: {asked:?}", case.name);
            let scope = format!("/{}/s3/aws4_request", case.region);
            assert!(asked.header("authorization").contains(&scope), "{}: {asked:?}", case.name);
        }
        for asked in store.requests_for("AssumeRole") {
            let fields = asked.fields();
            assert_eq!(fields["RoleArn"], "arn:aws:iam::123456789012:role/r", "{}", case.name);
            assert_eq!(fields["ExternalId"], "shared-word", "{}", case.name);
            let named = fields["RoleSessionName"] == "weighbridge-support-uploader";
            assert_eq!(named, case.section.contains("role_arn"), "{}: {fields:?}", case.name);
            assert!(asked.key_id().starts_with("AKIA"), "{}: {asked:?}", case.name);
        }
        // A session is kept, not asked for with every call.
        let sessions = store.requests_for("AssumeRole").len();
        assert_eq!(sessions, usize::from(external_id), "{}", case.name);
        assert_eq!(store.left(), [""; 0], "{}: the examination leaves nothing", case.name);
    }
}

#[test]
fn refused_role_reports_the_reason() {
    let store = QuirkyS3::start(Quirks { external_id: Some("shared-word"), ..Quirks::default() });
    let section = format!("{KEYS}\nrole_arn = \"arn:aws:iam::123456789012:role/r\"\nexternal_id = \"other\"");
    let operator = Operator::new(&section.replace("URL", &store.url));
    let output =
        operator.check(&environment(&[("AWS_ENDPOINT_URL_STS", "URL")], &store.url, operator.folder.path()));
    let said = printed(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("line 9: bucket `support-uploader`: error: the AWS credentials cannot be loaded"),
        "{said}"
    );
    assert!(said.contains("sts:AssumeRole"), "{said}");
    assert!(store.requests_for("HeadBucket").is_empty(), "nothing is asked without credentials");
}

#[test]
fn owner_and_kms_key_are_sent_with_every_call() {
    let store = QuirkyS3::start(Quirks::default());
    let section =
        format!("{KEYS}\nexpected_owner = \"123456789012\"\nkms_key = \"arn:aws:kms:k\"\nprefix = \"in/\"");
    let operator = Operator::new(&section.replace("URL", &store.url));
    let output = operator.check(&[]);
    assert!(output.status.success(), "{}", printed(&output));
    let asked = store.requests();
    for asked in &asked {
        assert_eq!(asked.header("x-amz-expected-bucket-owner"), "123456789012", "{asked:?}");
        if ["PutObject", "CreateMultipartUpload"].contains(&asked.operation.as_str()) {
            assert_eq!(asked.header("x-amz-server-side-encryption"), "aws:kms", "{asked:?}");
            assert_eq!(asked.header("x-amz-server-side-encryption-aws-kms-key-id"), "arn:aws:kms:k");
            assert_eq!(asked.header("x-amz-server-side-encryption-bucket-key-enabled"), "true");
        }
        let writes = asked.target.split('?').next().unwrap().len() > "/shared/".len();
        assert!(!writes || asked.target.starts_with("/shared/in/.weighbridge/probe/"), "{asked:?}");
    }
    assert!(asked.iter().any(|asked| asked.operation == "CreateMultipartUpload"));
}

#[test]
fn https_with_a_private_authority() {
    let (store, pem) = QuirkyS3::start_tls(Quirks::default());
    let operator = Operator::new(&KEYS.replace("URL", &store.url));
    operator.write("ca.pem", &pem);
    operator.write("bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let with = |file: &str| {
        operator.check(&environment(
            &[("AWS_CA_BUNDLE", &format!("HOME/{file}"))],
            &store.url,
            operator.folder.path(),
        ))
    };
    let trusted = with("ca.pem");
    assert!(trusted.status.success(), "{}", printed(&trusted));
    assert!(!store.requests_for("CompleteMultipartUpload").is_empty());
    let strange = operator.check(&[]);
    assert_eq!(strange.status.code(), Some(2));
    assert!(printed(&strange).contains("AWS_CA_BUNDLE"), "{}", printed(&strange));
    for file in ["bad.pem", "missing.pem"] {
        let output = with(file);
        let said = printed(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("AWS_CA_BUNDLE=") && said.contains("set it to a file of PEM certificates"),
            "{said}"
        );
    }
}

#[test]
fn doomed_settings_are_configuration_errors() {
    let rule = |days| Quirks { lifecycle: Some(abort_after(days)), ..Quirks::default() };
    for (quirks, lines, part) in [
        (rule(1), "", "after 1 day, but they can be resumed for 48 h (limits.resume_window)"),
        (rule(2), "[limits]\nresume_window = \"49h\"", "raise it to 7 days"),
        (Quirks { denied: &["PutObject"], ..Quirks::default() }, "", "allow s3:PutObject under `in/`"),
        (Quirks { denied: &["UploadPart"], ..Quirks::default() }, "", "allow s3:PutObject under `in/`"),
        (Quirks { denied: &["DeleteObject"], ..Quirks::default() }, "", "allow s3:DeleteObject"),
        (Quirks { denied: &["GetObject"], ..Quirks::default() }, "", "allow s3:GetObject"),
        (Quirks { denied: &["HeadBucket", "ListObjectsV2"], ..Quirks::default() }, "", "access denied"),
        (
            Quirks { denied: &["ListMultipartUploads"], ..Quirks::default() },
            "",
            "allow s3:ListBucketMultipartUploads",
        ),
        (
            Quirks { elsewhere: Some("eu-central-1"), ..Quirks::default() },
            "",
            "set `region = \"eu-central-1\"`",
        ),
    ] {
        let store = QuirkyS3::start(quirks);
        let operator =
            Operator::new(&format!("{KEYS}\nprefix = \"in/\"\n{lines}").replace("URL", &store.url));
        let output = operator.check(&[]);
        let said = printed(&output);
        assert_eq!(output.status.code(), Some(2), "{part}: {said}");
        let error =
            said.lines().find(|line| line.contains(": error: ")).unwrap_or_else(|| panic!("{part}: {said}"));
        assert!(error.contains("weighbridge.toml: line 9: bucket `support-uploader`: error: "), "{error}");
        assert!(error.contains(part), "{part} in {error}");
        assert!(!said.contains("The configuration is valid"), "{said}");
    }
    // A missing feature that matters little is not an error.
    let store = QuirkyS3::start(Quirks { lifecycle: None, conditional: false, ..Quirks::default() });
    let operator = Operator::new(&KEYS.replace("URL", &store.url));
    let output = operator.check(&[]);
    let said = printed(&output);
    assert!(output.status.success() && said.contains("The configuration is valid."), "{said}");
    assert!(
        said.contains("warning: no lifecycle rule") && said.contains("note: this store ignores"),
        "{said}"
    );
}

/// Without `--online`, resumable uploads are kept, and an unreachable store is no error.
#[test]
fn lifecycle_rules_are_checked() {
    let rules = |xml: String| Quirks { lifecycle: Some(xml), ..Quirks::default() };
    let removes = abort_after(7).replace(
        "</LifecycleConfiguration>",
        "<Rule><ID>b</ID><Status>Enabled</Status><Filter><Prefix>in/.weigh</Prefix></Filter>\
         <Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>",
    );
    for (quirks, status, part) in [
        (Quirks::default(), 0, ""),
        (rules(abort_after(1)), 2, "after 1 day, but they can be resumed for 48 h (limits.resume_window)"),
        (rules(removes), 2, "under `in/.weighbridge/` after 1 day"),
        (Quirks { lifecycle: None, ..Quirks::default() }, 0, "warning: no lifecycle rule"),
        (
            Quirks { denied: &["GetBucketLifecycleConfiguration"], ..Quirks::default() },
            0,
            "warning: the lifecycle",
        ),
        (Quirks { denied: &["PutObject", "HeadBucket"], ..Quirks::default() }, 0, ""),
    ] {
        let store = QuirkyS3::start(quirks);
        let operator = Operator::new(&format!("{KEYS}\nprefix = \"in/\"").replace("URL", &store.url));
        let output = operator.check_with(&[], &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{part}: {said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).contains("valid"), status == 0, "{part}");
        assert_eq!(said.is_empty(), part.is_empty(), "{said}");
        let named = said
            .lines()
            .any(|line| line.contains("weighbridge.toml: line 9: support_uploader: ") && line.contains(part));
        assert!(named || part.is_empty(), "{part} in {said}");
    }
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [silent.local_addr().unwrap().to_string(), "127.0.0.1:1".into()] {
        let operator = Operator::new(&KEYS.replace("URL", &format!("http://{address}")));
        let begun = std::time::Instant::now();
        let output = operator.check_with(&[], &[]);
        let said = printed(&output);
        assert!(output.status.success() && said.contains("warning: no answer"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[test]
fn silent_store_times_out() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let operator = Operator::new(&KEYS.replace("URL", &format!("http://{}", silent.local_addr().unwrap())));
    let begun = std::time::Instant::now();
    let output = operator.check(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(printed(&output).contains("no answer"), "{}", printed(&output));
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
}
