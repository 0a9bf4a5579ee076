//! As whom the gateway speaks to S3: what it really sends, for each way the AWS conventions know of giving credentials,
//! region and endpoint. `weighbridge config check --online` is the program, a recording store the other side.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use tests::{Habits, Store, abort_after, printed, program, write_private};

/// A configuration in a folder of its own, which is also the home of whoever runs the program.
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
            // Nobody waits for an instance that this machine is not.
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
fn credentials_region_and_endpoint_as_aws_tools_take_them() {
    for case in CASES {
        // Where a role is asked for with an external id, STS insists on it; web identity knows none.
        let external_id = case.files.iter().any(|(_, text)| text.contains("shared-word"))
            || case.section.contains("external_id");
        let store =
            Store::start(Habits { external_id: external_id.then_some("shared-word"), ..Habits::default() });
        let operator = Operator::new(&case.section.replace("URL", &store.url));
        for (name, text) in case.files {
            operator.write(name, &text.replace("= URL", &format!("= {}", store.url)));
        }
        let output = operator.check(&environment(case.environment, &store.url, operator.folder.path()));
        assert!(output.status.success(), "{}: {}\n{:#?}", case.name, printed(&output), store.asked());
        let s3: Vec<_> =
            store.asked().into_iter().filter(|asked| asked.target.starts_with("/shared")).collect();
        assert!(s3.len() > 10, "{}: {s3:#?}", case.name);
        for asked in s3 {
            assert_eq!(asked.key_id(), case.key_id, "{}: {asked:?}", case.name);
            assert_eq!(asked.header("x-amz-security-token"), case.token, "{}: {asked:?}", case.name);
            let scope = format!("/{}/s3/aws4_request", case.region);
            assert!(asked.header("authorization").contains(&scope), "{}: {asked:?}", case.name);
        }
        for asked in store.asked_for("AssumeRole") {
            let fields = asked.fields();
            assert_eq!(fields["RoleArn"], "arn:aws:iam::123456789012:role/r", "{}", case.name);
            assert_eq!(fields["ExternalId"], "shared-word", "{}", case.name);
            let named = fields["RoleSessionName"] == "weighbridge-support-uploader";
            assert_eq!(named, case.section.contains("role_arn"), "{}: {fields:?}", case.name);
            assert!(asked.key_id().starts_with("AKIA"), "{}: {asked:?}", case.name);
        }
        // A session is kept, not asked for with every call.
        let sessions = store.asked_for("AssumeRole").len();
        assert_eq!(sessions, usize::from(external_id), "{}", case.name);
        assert_eq!(store.left(), [""; 0], "{}: the examination leaves nothing", case.name);
    }
}

#[test]
fn a_role_that_is_refused_is_said_with_the_reason() {
    let store = Store::start(Habits { external_id: Some("shared-word"), ..Habits::default() });
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
    assert!(store.asked_for("HeadBucket").is_empty(), "nothing is asked without credentials");
}

#[test]
fn owner_and_key_go_with_every_call_that_takes_them() {
    let store = Store::start(Habits::default());
    let section =
        format!("{KEYS}\nexpected_owner = \"123456789012\"\nkms_key = \"arn:aws:kms:k\"\nprefix = \"in/\"");
    let operator = Operator::new(&section.replace("URL", &store.url));
    let output = operator.check(&[]);
    assert!(output.status.success(), "{}", printed(&output));
    let asked = store.asked();
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
fn https_with_a_certificate_of_ones_own_authority() {
    let (store, pem) = Store::start_tls(Habits::default());
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
    assert!(!store.asked_for("CompleteMultipartUpload").is_empty());
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
fn what_will_fail_is_a_mistake_of_the_configuration() {
    let rule = |days| Habits { lifecycle: Some(abort_after(days)), ..Habits::default() };
    for (habits, lines, part) in [
        (rule(1), "", "after 1 day, but they can be resumed for 48 h (limits.resume_window)"),
        (rule(2), "[limits]\nresume_window = \"49h\"", "raise it to 7 days"),
        (Habits { denied: &["PutObject"], ..Habits::default() }, "", "allow s3:PutObject under `in/`"),
        (Habits { denied: &["UploadPart"], ..Habits::default() }, "", "allow s3:PutObject under `in/`"),
        (Habits { denied: &["DeleteObject"], ..Habits::default() }, "", "allow s3:DeleteObject"),
        (Habits { denied: &["GetObject"], ..Habits::default() }, "", "allow s3:GetObject"),
        (Habits { denied: &["HeadBucket", "ListObjectsV2"], ..Habits::default() }, "", "access denied"),
        (
            Habits { denied: &["ListMultipartUploads"], ..Habits::default() },
            "",
            "allow s3:ListBucketMultipartUploads",
        ),
        (
            Habits { elsewhere: Some("eu-central-1"), ..Habits::default() },
            "",
            "write `region = \"eu-central-1\"`",
        ),
    ] {
        let store = Store::start(habits);
        let operator =
            Operator::new(&format!("{KEYS}\nprefix = \"in/\"\n{lines}").replace("URL", &store.url));
        let output = operator.check(&[]);
        let said = printed(&output);
        assert_eq!(output.status.code(), Some(2), "{part}: {said}");
        let error =
            said.lines().find(|line| line.contains(": error: ")).unwrap_or_else(|| panic!("{part}: {said}"));
        assert!(error.contains("weighbridge.toml: line 9: bucket `support-uploader`: error: "), "{error}");
        assert!(error.contains(part), "{part} in {error}");
        assert!(!said.contains("The configuration is good"), "{said}");
    }
    // A lack that is only worth knowing is no mistake.
    let store = Store::start(Habits { lifecycle: None, conditional: false, ..Habits::default() });
    let operator = Operator::new(&KEYS.replace("URL", &store.url));
    let output = operator.check(&[]);
    let said = printed(&output);
    assert!(output.status.success() && said.contains("The configuration is good."), "{said}");
    assert!(
        said.contains("warning: no lifecycle rule") && said.contains("note: this store ignores"),
        "{said}"
    );
}

/// Without `--online`: what may be resumed is not removed, and whoever cannot be asked is no mistake.
#[test]
fn lifecycle_rules_are_looked_at_wherever_they_can_be() {
    let rules = |xml: String| Habits { lifecycle: Some(xml), ..Habits::default() };
    let removes = abort_after(7).replace(
        "</LifecycleConfiguration>",
        "<Rule><ID>b</ID><Status>Enabled</Status><Filter><Prefix>in/.weigh</Prefix></Filter>\
         <Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>",
    );
    for (habits, status, part) in [
        (Habits::default(), 0, ""),
        (rules(abort_after(1)), 2, "after 1 day, but they can be resumed for 48 h (limits.resume_window)"),
        (rules(removes), 2, "under `in/.weighbridge/` after 1 day"),
        (Habits { lifecycle: None, ..Habits::default() }, 0, "warning: no lifecycle rule"),
        (
            Habits { denied: &["GetBucketLifecycleConfiguration"], ..Habits::default() },
            0,
            "warning: the lifecycle",
        ),
        (Habits { denied: &["PutObject", "HeadBucket"], ..Habits::default() }, 0, ""),
    ] {
        let store = Store::start(habits);
        let operator = Operator::new(&format!("{KEYS}\nprefix = \"in/\"").replace("URL", &store.url));
        let output = operator.check_with(&[], &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{part}: {said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).contains("good"), status == 0, "{part}");
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
fn a_store_that_says_nothing_is_given_up_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let operator = Operator::new(&KEYS.replace("URL", &format!("http://{}", silent.local_addr().unwrap())));
    let begun = std::time::Instant::now();
    let output = operator.check(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(printed(&output).contains("no answer"), "{}", printed(&output));
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
}
