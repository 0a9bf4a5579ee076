//! The environment: loopback is never proxied, and only those who need the cloud's metadata address ask it, once.

use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tests::{Quirks, QuirkyS3, Sandbox, abort_after, curl, eventually, printed, program, write_private};

/// Listens where the environment names a proxy or the metadata address. Counts connections, and closes them or never answers.
struct Trap {
    url: String,
    seen: Arc<AtomicUsize>,
}

impl Trap {
    fn set() -> Self {
        Self::that(drop)
    }

    /// As a network that drops packets: only the client's patience ends a request.
    fn silent() -> Self {
        Self::that(std::mem::forget)
    }

    fn that(does: fn(TcpStream)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                does(stream.unwrap());
            }
        });
        Self { url, seen }
    }

    /// How many came. One more, our own, shows that all before it were counted.
    fn seen(&self) -> usize {
        let before = self.seen.load(Ordering::SeqCst);
        drop(TcpStream::connect(self.url.trim_start_matches("http://")).unwrap());
        eventually("our own is counted", || {
            let now = self.seen.load(Ordering::SeqCst);
            (now > before).then(|| now - 1)
        })
    }

    /// As a company's machines have it, where this is the proxy; and where it is the metadata address, too.
    fn environment(&self) -> Vec<(String, String)> {
        let proxies = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
        let names = proxies.into_iter().chain(["AWS_EC2_METADATA_SERVICE_ENDPOINT"]);
        names.map(|name| (name.to_owned(), self.url.clone())).collect()
    }
}

#[test]
fn demo_uses_no_proxy_and_no_metadata_address() {
    let (trap, folder) = (Trap::set(), TempDir::new().unwrap());
    let [data, shown, said] = ["demo", "shown", "said"].map(|name| folder.path().join(name));
    let mut demo = Command::new(program("weighbridge"))
        .args(["demo", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .envs(trap.environment())
        .env_remove("WEIGHBRIDGE_LOG")
        .env_remove("RUST_LOG")
        .stdout(std::fs::File::create(&shown).unwrap())
        .stderr(std::fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    eventually("the demo is there", || {
        assert!(demo.try_wait().unwrap().is_none(), "it ended: {}", std::fs::read_to_string(&said).unwrap());
        data.join("demo.json").exists().then_some(())
    });
    let log = || std::fs::read_to_string(data.join("weighbridge.log")).unwrap();
    eventually("both tickets have notes", || (log().matches("wrote a note").count() == 2).then_some(()));
    assert!(Command::new("kill").args(["-TERM", &demo.id().to_string()]).status().unwrap().success());
    assert_eq!(demo.wait().unwrap().code(), Some(0));
    assert_eq!(trap.seen(), 0, "{}", log());
    // Receipts and commands stand alone; a curl that would ask the proxy is told not to.
    assert_eq!(std::fs::read_to_string(&said).unwrap(), "");
    let shown = std::fs::read_to_string(&shown).unwrap();
    assert!(!shown.contains("INFO") && shown.contains("weighbridge.log"), "{shown}");
    for line in shown.lines().filter(|line| line.contains("curl ")) {
        assert!(line.contains("curl --noproxy '*' "), "{line}");
    }
}

#[test]
fn loopback_is_never_proxied() {
    let trap = Trap::set();
    let sandbox = Sandbox::start();
    let gateway = sandbox.gateway_in(&trap.environment(), |_| {});
    for (partner, bytes) in [("acme", 1_000), ("globex", 21_000_000)] {
        let path = sandbox.scratch().join("file.bin");
        std::fs::write(&path, vec![7; bytes]).unwrap();
        let sent = curl(&["-T", path.to_str().unwrap(), &format!("{}/", sandbox.link(partner))]);
        assert_eq!(sent.status, 201, "{sent:?}\n{}", gateway.log());
    }
    eventually("both tickets have notes", || {
        (gateway.log().matches("wrote a note").count() == 2).then_some(())
    });
    assert_eq!(trap.seen(), 0, "{}", gateway.log());
}

/// `config check` of this configuration of buckets, in an environment with nothing but this.
fn check(arguments: &[&str], buckets: &str, environment: &[(String, String)]) -> Output {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("weighbridge.toml");
    let text = format!(
        "[ledger]\nurl = \"sqlite:{}\"\n[desk]\nurl = \"https://example.zendesk.com\"\nemail = \"a@example.com\"\n\
         api_token = {{ env = \"TOKEN\" }}\n{buckets}",
        folder.path().join("ledger.db").display()
    );
    write_private(&path, &text);
    Command::new(program("weighbridge"))
        .args(["config", "check"])
        .args(arguments)
        .arg("--config")
        .arg(&path)
        .env_clear()
        .env("HOME", folder.path())
        .env("TOKEN", "t")
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn missing_credentials_ask_the_metadata_address_once() {
    let buckets = "[support_uploader]\nbucket = \"shared\"\n[partners.acme]\n[partners.acme.bucket]\n\
                   bucket = \"acme-own\"\n[partners.globex]\n[partners.globex.bucket]\nbucket = \"globex-own\"\n";
    for (arguments, status, trap) in [
        (&[][..], 0, Trap::set()),
        (&["--online"], 2, Trap::set()),
        (&[], 0, Trap::silent()),
        (&["--online"], 2, Trap::silent()),
    ] {
        let metadata = ("AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned(), trap.url.clone());
        let begun = Instant::now();
        let output = check(arguments, buckets, &[metadata]);
        let said = printed(&output);
        // Repeated for each of three buckets and their regions, it would take longer even on a fast machine.
        assert!(begun.elapsed() < Duration::from_secs(15), "{arguments:?}: {:?}: {said}", begun.elapsed());
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert_eq!(said.matches("no AWS credentials found").count(), 3, "{said}");
        for dump in ["Dispatch", "ConnectorError", "IMDS", "WARN", "The configuration is valid"] {
            assert!(!said.contains(dump), "{dump}: {said}");
        }
        assert_eq!(trap.seen(), 1, "{arguments:?}: {said}");
    }
}

#[test]
fn other_hosts_are_proxied() {
    let keys = "path_style = true\naccess_key_id = \"k\"\nsecret_access_key = \"s\"\n";
    let elsewhere =
        format!("[support_uploader]\nbucket = \"shared\"\nendpoint = \"http://store.invalid\"\n{keys}");
    let trap = Trap::set();
    let output = check(&[], &elsewhere, &trap.environment());
    assert!(trap.seen() > 0, "{}", printed(&output));
    // The same proxy, and a local store.
    let store = QuirkyS3::start(Quirks { lifecycle: Some(abort_after(7)), ..Quirks::default() });
    let here = format!("[support_uploader]\nbucket = \"shared\"\nendpoint = \"{}\"\n{keys}", store.url);
    let trap = Trap::set();
    let output = check(&[], &here, &trap.environment());
    assert_eq!((output.status.code(), trap.seen()), (Some(0), 0), "{}", printed(&output));
    assert!(printed(&output).contains("The configuration is valid."), "{}", printed(&output));
}

#[test]
fn fifo_or_device_does_not_block() {
    let folder = TempDir::new().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in [fifo.to_str().unwrap(), "/dev/zero", "/"] {
        let output = Command::new(program("weighbridge"))
            .args(["config", "check", "--config", path])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = printed(&output);
        assert!(output.status.code() == Some(2) && said.contains("is not a regular file"), "{path}: {said}");
        for key in ["access_key_id = \"k\"\nsecret_access_key", "external_id"] {
            let bucket =
                format!("[support_uploader]\nbucket = \"shared\"\n{key} = {{ file = \"{path}\" }}\n");
            let said = printed(&check(&[], &bucket, &[]));
            assert!(said.contains("is not a regular file"), "{path}: {said}");
        }
        let bundle = [("AWS_CA_BUNDLE".to_owned(), path.to_owned())];
        let said = printed(&check(&[], "[support_uploader]\nbucket = \"shared\"\n", &bundle));
        assert!(said.contains("is not a regular file"), "{path}: {said}");
        let tls = format!(
            "[support_uploader]\nbucket = \"shared\"\n[server]\ntls_cert = \"{path}\"\ntls_key = \"{path}\"\n"
        );
        assert!(printed(&check(&[], &tls, &[])).contains("is not a regular file"), "{path}");
    }
}
