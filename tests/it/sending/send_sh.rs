//! `send.sh` in every installed shell, as a partner runs it: many files, any name, lost connections, a killed script. And
//! `send.ps1`, as far as it can be checked without PowerShell.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tests::{
    Break, FlakyProxy, Shared, World, comments_naming, curl, curl_raw, eventually, eventually_async, noise,
    object, printed, sha256, side_by_side,
};

static SHARED: Shared = Shared::with(&[]);

/// Shells that this machine has; CI has all.
fn shells() -> Vec<&'static str> {
    let all = ["dash", "busybox", "bash"];
    let found: Vec<_> = all.into_iter().filter(|name| !which(name).is_empty()).collect();
    assert!(!found.is_empty(), "none of {all:?} is here");
    found
}

/// Where a program is; empty when it is not here.
fn which(name: &str) -> String {
    let output = Command::new("which").arg(name).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A folder of the test's own with a script in it, which is run there.
struct Sender<'w> {
    world: &'w World,
    shell: &'static str,
    folder: PathBuf,
    script: String,
}

impl<'w> Sender<'w> {
    /// With the script of this link.
    fn new(world: &'w World, shell: &'static str, link: &str) -> Self {
        let text = curl(&[&format!("{link}/send.sh")]).body;
        assert!(text.starts_with("#!/bin/sh\n"), "{text}");
        // A space in the path, and none that another test uses.
        let mut tries = (0..).map(|n| world.sandbox.scratch().join(format!("{shell} {n}")));
        let own = tries.find(|own| fs::create_dir(own).is_ok()).unwrap();
        let folder = own.join("files");
        fs::create_dir(&folder).unwrap();
        Self { world, shell, folder, script: text }
    }

    /// Sends its requests through this proxy.
    fn over(mut self, line: &FlakyProxy) -> Self {
        self.script = self.script.replace(self.world.gateway.address(), &line.address);
        self
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The script, about to be run. BusyBox has nothing but itself and curl.
    fn command(&self, arguments: &[&str]) -> Command {
        let script = self.folder.with_file_name("sh");
        fs::write(&script, &self.script).unwrap();
        let mut command = Command::new(which(self.shell));
        self.world.sandbox.reachable_from(&mut command);
        match self.shell {
            "busybox" => {
                let tools = self.folder.with_file_name("tools");
                if fs::create_dir(&tools).is_ok() {
                    let install = Command::new("busybox").args(["--install", "-s"]).arg(&tools).status();
                    assert!(install.unwrap().success());
                    symlink(which("curl"), tools.join("curl")).unwrap();
                }
                command.env("PATH", tools).arg("sh");
            }
            "bash" => {
                command.arg("--posix");
            }
            _ => {}
        }
        command.arg(script).args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        command.env("HOME", self.world.sandbox.scratch()).env_remove("WEIGHBRIDGE_LINK_TOKEN");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it until the line has fallen silent, then kills it and everything it started. Answers the upload's address.
    fn run_and_kill(&self, line: &FlakyProxy, file: &str) -> String {
        let mut child = self.command(&[file]).process_group(0).stderr(Stdio::null()).spawn().unwrap();
        eventually("the connection is silent", || (line.broken() == 1).then_some(()));
        kill_group(&mut child);
        let state = fs::read_to_string(self.folder.join(format!(".{file}.weighbridge"))).unwrap();
        let id = state.split(' ').next().unwrap();
        let address = format!("{}/uploads/{id}", self.world.link("acme"));
        eventually("some bytes are durable", || (offset(&address) > 0).then_some(()));
        address
    }

    /// The content of its folder.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn kill_group(child: &mut Child) {
    let group = format!("-{}", child.id());
    assert!(Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
    child.wait().unwrap();
}

fn offset(address: &str) -> u64 {
    curl(&["-I", address]).headers.get("upload-offset").map_or(0, |text| text.parse().unwrap())
}

/// The receipts on standard output, by name: size, SHA-256 and id.
fn receipts(output: &Output) -> BTreeMap<String, (u64, String, String)> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let (mut found, mut name, mut sha256) = (BTreeMap::new(), (String::new(), 0), String::new());
    for line in text.lines() {
        if let Some((begin, end)) = line.strip_suffix(" bytes").and_then(|line| line.rsplit_once(", ")) {
            name = (begin.to_owned(), end.parse().unwrap());
        } else if let Some(hex) = line.strip_prefix("SHA-256 ") {
            hex.clone_into(&mut sha256);
        } else if let Some(address) = line.strip_prefix("Receipt ") {
            let id = address.rsplit_once('/').unwrap().1.to_owned();
            found.insert(name.0.clone(), (name.1, sha256.clone(), id));
        }
    }
    found
}

/// It ended with 0, and the receipt of this file is for these bytes, which rest in the bucket.
async fn check(world: &World, output: &Output, name: &str, bytes: &[u8]) -> String {
    assert!(output.status.success(), "{name}: {}", printed(output));
    let receipts = receipts(output);
    let (size, sha, id) = receipts.get(name).unwrap_or_else(|| panic!("{name}: {}", printed(output)));
    assert_eq!((*size, sha), (bytes.len() as u64, &sha256(bytes)), "{name}");
    let key = format!("1001/{id}/{name}");
    assert!(object(&world.sandbox.bucket(None).await, &key).await == bytes, "{key} holds other bytes");
    id.clone()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn any_names_under_every_shell() {
    let world = SHARED.world();
    for (seed, shell) in (1..).zip(shells()) {
        let sender = Sender::new(&world, shell, &world.link("acme"));
        let files = [
            ("plain.log", noise(1000, seed)),
            ("a b 'c' \"d\" $(touch evil) `touch evil`;&.log", noise(1001, seed)),
            ("Größe €.tar.gz", noise(1002, seed)),
            ("-t", noise(1003, seed)),
            ("[1-3]{x,y}*?%41.log", noise(1004, seed)),
            ("uploads", noise(1005, seed)),
            ("empty", vec![]),
            ("large.bin", noise(21_000_000, seed)),
        ];
        let mut arguments = vec!["--"];
        for (name, bytes) in &files {
            sender.write(name, bytes);
            arguments.push(name);
        }
        let before = sender.left();
        let output = sender.run(&arguments);
        for (name, bytes) in &files {
            check(&world, &output, name, bytes).await;
        }
        assert_eq!(sender.left(), before, "{shell}: nothing is left behind");
        assert!(!sender.folder.join("evil").exists());
    }
}

#[test]
fn ten_disconnects_lose_nothing() {
    let world = SHARED.world();
    let cases: Vec<_> = (1..).zip(shells()).collect();
    // Most of it is pauses.
    side_by_side(cases.len(), &cases, async |(seed, shell)| {
        // Some break in the head of a request or in an answer.
        let random = noise(20, *seed);
        let after = random.chunks(2).map(|two| {
            let random = usize::from(two[0]) * 256 + usize::from(two[1]);
            if random.is_multiple_of(3) { random % 700 } else { 200_000 + random * 12 }
        });
        let after: Vec<usize> = after.collect();
        let line = FlakyProxy::to(world.gateway.address(), Break::Cut, after.clone());
        let sender = Sender::new(&world, shell, &world.link("acme")).over(&line);
        let (name, bytes) = (format!("cut by {shell}.bin"), noise(12_000_000, 100 + seed));
        sender.write(&name, &bytes);
        let output = sender.run(&[&name]);
        let id = check(&world, &output, &name, &bytes).await;
        assert_eq!(line.broken(), 10, "{shell} {after:?}: {}", printed(&output));
        assert_eq!(sender.left(), [name.as_str()]);
        eventually_async("the ticket has one note", async || {
            (comments_naming(&world.sandbox.comments("1001").await, &id) == 1).then_some(())
        })
        .await;
        let all = curl(&[&format!("{}/uploads", world.link("acme"))]).json();
        let named = all["uploads"].as_array().unwrap().iter().filter(|upload| upload["name"] == *name);
        assert_eq!(named.count(), 1, "{all}");
    });
}

#[tokio::test]
async fn killed_script_resumes_when_rerun() {
    let world = SHARED.world();
    for (seed, shell) in (1..).zip(shells()) {
        let line = FlakyProxy::to(world.gateway.address(), Break::Silence, vec![9_000_000]);
        let sender = Sender::new(&world, shell, &world.link("acme")).over(&line);
        let bytes = noise(12_000_000, 200 + seed);
        sender.write("killed.bin", &bytes);
        let address = sender.run_and_kill(&line, "killed.bin");
        let output = sender.run(&["killed.bin"]);
        let id = check(&world, &output, "killed.bin", &bytes).await;
        assert!(address.ends_with(&id), "{shell}: {}", printed(&output));
        assert!(!stderr(&output).contains(": 0 of 12000000"), "{shell}: {}", printed(&output));
        assert_eq!(sender.left(), ["killed.bin"]);
    }
}

#[tokio::test]
async fn stopped_script_says_how_to_resume() {
    let world = SHARED.world();
    for (seed, shell) in (1..).zip(shells()) {
        let line = FlakyProxy::to(world.gateway.address(), Break::Silence, vec![9_000_000]);
        let sender = Sender::new(&world, shell, &world.link("acme")).over(&line);
        let bytes = noise(12_000_000, 250 + seed);
        sender.write("stopped.bin", &bytes);
        let notes = sender.folder.with_file_name("notes");
        fs::create_dir(&notes).unwrap();
        let mut command = sender.command(&["stopped.bin"]);
        let child = command.env("TMPDIR", &notes).stderr(Stdio::piped()).spawn().unwrap();
        eventually("the connection is silent", || (line.broken() == 1).then_some(()));
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        // Standard error ends only when curl has ended, too.
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(143), "{shell}: {}", printed(&output));
        assert!(stderr(&output).contains("Run the same command again"), "{shell}: {}", printed(&output));
        assert_eq!(fs::read_dir(&notes).unwrap().count(), 0, "{shell}: its notes are gone");
        let output = sender.run(&["stopped.bin"]);
        check(&world, &output, "stopped.bin", &bytes).await;
    }
}

#[tokio::test]
async fn changed_file_starts_over() {
    let world = SHARED.world();
    for (seed, shell) in (1..).zip(shells()) {
        let line = FlakyProxy::to(world.gateway.address(), Break::Silence, vec![9_000_000]);
        let sender = Sender::new(&world, shell, &world.link("acme")).over(&line);
        sender.write("changed.bin", &noise(12_000_000, 300 + seed));
        let address = sender.run_and_kill(&line, "changed.bin");
        // Of the same size.
        let bytes = noise(12_000_000, 400 + seed);
        sender.write("changed.bin", &bytes);
        let output = sender.run(&["changed.bin"]);
        check(&world, &output, "changed.bin", &bytes).await;
        assert!(stderr(&output).contains("has changed since"), "{shell}: {}", printed(&output));
        assert_eq!(curl(&[&address]).problem(), "/problems/upload-gone");
        assert_eq!(sender.left(), ["changed.bin"]);
    }
}

#[tokio::test]
async fn growing_file_is_not_complete() {
    let world = SHARED.world();
    for (seed, shell) in (1..).zip(shells()) {
        let line = FlakyProxy::to(world.gateway.address(), Break::Cut, vec![100_000]);
        let sender = Sender::new(&world, shell, &world.link("acme")).over(&line);
        let path = sender.write("grows.log", &noise(3_000_000, 500 + seed));
        let mut command = sender.command(&["grows.log"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually("it is sending", || (line.broken() == 1).then_some(()));
        fs::write(&path, noise(3_000_001, 600 + seed)).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{shell}: {}", printed(&output));
        assert!(stderr(&output).contains("it changes while it is being sent"), "{}", printed(&output));
        assert_eq!(sender.left(), ["grows.log"]);
    }
}

#[tokio::test]
async fn waits_for_an_unreachable_gateway() {
    let mut world = World::start();
    let shell = shells()[0];
    let (line, bytes) = (FlakyProxy::to(world.gateway.address(), Break::Cut, vec![]), noise(5000, 1));
    let (command, log) = {
        let sender = Sender::new(&world, shell, &world.link("acme")).over(&line);
        sender.write("waits.log", &bytes);
        (sender.command(&["waits.log"]), sender.folder.with_file_name("log"))
    };
    world.gateway.kill();
    let mut command = command;
    let child = command.stdout(Stdio::piped()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    let said = || fs::read_to_string(&log).unwrap();
    eventually("it waits", || said().contains("trying again in").then_some(()));
    world.gateway.restart();
    let output = child.wait_with_output().unwrap();
    check(&world, &output, "waits.log", &bytes).await;
    // It does not wait forever for one that never answers.
    world.gateway.kill();
    let output = command.env("WEIGHBRIDGE_PATIENCE", "0").stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("Run the same command again"), "{}", printed(&output));
}

#[tokio::test]
async fn refusals_are_reported_and_other_files_arrive() {
    let world = SHARED.world();
    let small = world.gateway.make_link(&["--partner", "acme", "--ticket", "1001", "--max-bytes", "1000"]);
    for (seed, shell) in (1..).zip(shells()) {
        let sender = Sender::new(&world, shell, &small);
        let bytes = noise(1000, 700 + seed);
        sender.write("fits.log", &bytes);
        sender.write("over.log", &noise(1001, seed));
        sender.write("two\nlines", b"x");
        fs::create_dir(sender.folder.join("folder")).unwrap();
        let mut output = sender.run(&["nothing", "folder", "over.log", "two\nlines", "fits.log"]);
        assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
        for words in [
            "nothing: there is no such file",
            "folder: is a directory",
            "over.log: not sent: A file may have at most 1000 bytes here.",
            "has a line break in its name",
            "4 of 5 files have not arrived",
        ] {
            assert!(stderr(&output).contains(words), "{words}: {}", printed(&output));
        }
        output.status = Command::new("true").status().unwrap();
        check(&world, &output, "fits.log", &bytes).await;

        for (wrong, words) in [(&[][..], "usage"), (&["-x", "a"], "usage"), (&["-t", "1;2", "a"], "a number")]
        {
            let output = sender.run(wrong);
            assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", printed(&output));
            assert!(stderr(&output).contains(words) && output.stdout.is_empty(), "{}", printed(&output));
        }
        let mut sender = sender;
        sender.script = sender.script.replace(small.rsplit_once('/').unwrap().1, "unknown");
        let output = sender.run(&["fits.log"]);
        assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
        assert!(stderr(&output).contains("This upload link does not exist."), "{}", printed(&output));
        assert!(output.stdout.is_empty(), "{}", printed(&output));
    }
    assert_eq!(
        curl(&[&format!("{}/u/unknown/send.sh", world.gateway.url)]).problem(),
        "/problems/unknown-link"
    );
}

#[tokio::test]
async fn token_and_ticket_by_environment() {
    let world = SHARED.world();
    let link = world.link("acme");
    let token = link.rsplit_once('/').unwrap().1;
    let unbound = world.gateway.make_link(&["--partner", "acme"]);
    for (seed, shell) in (1..).zip(shells()) {
        let mut sender = Sender::new(&world, shell, &link);
        let open = format!("{}/u/-", world.gateway.url);
        let bearer = format!("Authorization: Bearer {token}");
        sender.script = curl(&["-H", &bearer, &format!("{open}/send.sh")]).body;
        assert!(!sender.script.contains(token) && sender.script.contains(&format!("'{open}/'")));
        let bytes = noise(1000, 800 + seed);
        sender.write("open.log", &bytes);
        let output = sender.run(&["open.log"]);
        assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
        assert!(stderr(&output).contains("WEIGHBRIDGE_LINK_TOKEN"), "{}", printed(&output));
        let output = sender.command(&["open.log"]).env("WEIGHBRIDGE_LINK_TOKEN", token).output().unwrap();
        check(&world, &output, "open.log", &bytes).await;
        assert!(!printed(&output).contains(token), "{}", printed(&output));

        let sender = Sender::new(&world, shell, &unbound);
        let bytes = noise(1000, 900 + seed);
        sender.write("ticket.log", &bytes);
        let output = sender.run(&["ticket.log"]);
        assert!(stderr(&output).contains("-t NUMBER"), "{}", printed(&output));
        let output = sender.run(&["-t", "1001", "ticket.log"]);
        check(&world, &output, "ticket.log", &bytes).await;
    }
}

#[tokio::test]
async fn leftovers_of_a_killed_run_are_harmless() {
    let world = SHARED.world();
    for (seed, shell) in (1..).zip(shells()) {
        let sender = Sender::new(&world, shell, &world.link("acme"));
        let bytes = noise(1000, 1000 + seed);
        sender.write("again.log", &bytes);
        let notes = sender.folder.with_file_name("notes");
        fs::create_dir(&notes).unwrap();
        // The process number stays the same over `exec`: a folder with it is there already.
        let own = sender.command(&["again.log"]);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "mkdir \"$TMPDIR/weighbridge-send.$$.0\" && exec \"$@\"", "sh"]);
        command.arg(own.get_program()).args(own.get_args()).current_dir(&sender.folder).stdin(Stdio::null());
        for (name, value) in own.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let output = command.env("TMPDIR", &notes).output().unwrap();
        check(&world, &output, "again.log", &bytes).await;
        let left: Vec<_> = fs::read_dir(&notes).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left.len(), 1, "{left:?}");
        // Where nothing can be written it says so, and ends.
        let output = sender.command(&["again.log"]).env("TMPDIR", notes.join("missing")).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
        assert!(stderr(&output).contains("TMPDIR"), "{}", printed(&output));
    }
}

#[test]
fn scripts_are_served_as_text() {
    let world = SHARED.world();
    let link = world.link("acme");
    for (name, media_type, line) in [
        ("send.sh", "text/x-shellscript; charset=utf-8", format!("link='{link}/'")),
        ("send.ps1", "text/plain; charset=utf-8", format!("$link = '{link}/'")),
    ] {
        let address = format!("{link}/{name}");
        let (answer, head) =
            (curl_raw(&[&address], Stdio::null()), curl_raw(&["-I", &address], Stdio::null()));
        for answer in [&answer, &head] {
            assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, media_type));
            assert_eq!(answer.headers["cache-control"], "no-store");
            assert_eq!(answer.headers["content-disposition"], format!("inline; filename={name}"));
        }
        assert!(answer.body.lines().any(|found| found == line), "{}", answer.body);
        assert_eq!(answer.body.contains("preview"), name == "send.ps1", "{}", answer.body);
        assert!(Path::new(name).extension().is_some() && answer.body.is_ascii());
    }
}
