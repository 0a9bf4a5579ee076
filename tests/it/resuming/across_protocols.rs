//! One upload over several protocols: started by plain curl, resumed with tus, finished with the IETF draft.

use std::process::Stdio;

use tests::{
    Answer, World, ask, comments_naming, curl_command, eventually, eventually_async, noise, object, sha256,
};

const TUS: &[&str] = &["Tus-Resumable: 1.0.0", "Content-Type: application/offset+octet-stream"];

/// Resumes at the offset the upload reports, in this protocol. Returns the new offset.
fn resume(url: &str, dialect: &[&str], bytes: &[u8], to: usize) -> Answer {
    eventually("the gateway takes the offset it has told", || {
        let told = ask("HEAD", url, &dialect[..1], b"");
        let offset: usize = told.header("upload-offset").parse().unwrap_or_else(|_| panic!("{told:?}"));
        let line = format!("Upload-Offset: {offset}");
        let answer = ask("PATCH", url, &[dialect, &[line.as_str()]].concat(), &bytes[offset..to]);
        // Interrupted bytes may still be on their way to the store.
        (answer.status != 409).then_some(answer)
    })
}

#[tokio::test]
async fn curl_then_tus_then_ietf_draft() {
    let world = World::start();
    let (ticket, link) = world.sandbox.open_ticket_and_link(&world.gateway, "globex").await;
    let bytes = noise(26_000_000, 61);
    let file = world.path("core.bin", &bytes);
    let named = format!("{link}/core.bin");
    // So slow that there is something left to send when a part of it is seen to be durable, on a loaded machine, too.
    let mut sending = curl_command(&["-sS", "--limit-rate", "3M", "-T", &file, &named])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = eventually("a part of it is durable", || {
        let answer = ask("HEAD", &named, &[], b"");
        answer.header("upload-offset").parse::<usize>().is_ok_and(|offset| offset > 0).then_some(answer)
    });
    sending.kill().unwrap();
    sending.wait().unwrap();
    let url = begun
        .is(204)
        .has("upload-complete", "?0")
        .has("upload-length", "26000000")
        .header("location")
        .to_owned();
    resume(&url, TUS, &bytes, 25_000_000).is(204).has("upload-offset", "25000000");
    let draft = &["Upload-Complete: ?1", "Content-Type: application/partial-upload"];
    let receipt = resume(&url, draft, &bytes, bytes.len()).is(201).has("upload-complete", "?1").json();

    let id = receipt["id"].as_str().unwrap();
    assert!(url.ends_with(id));
    assert_eq!(
        (receipt["sha256"].as_str(), receipt["name"].as_str()),
        (Some(&*sha256(&bytes)), Some("core.bin"))
    );
    let bucket = world.sandbox.bucket(Some("globex")).await;
    assert!(object(&bucket, &format!("{ticket}/{id}/core.bin")).await == bytes);
    // Each dialect says the same of it.
    ask("HEAD", &url, TUS, b"").is(200).has("upload-offset", "26000000");
    ask("HEAD", &named, &[], b"").is(204).has("upload-complete", "?1").has("upload-offset", "26000000");
    eventually_async("the note is on the ticket", async || {
        (comments_naming(&world.sandbox.comments(&ticket).await, id) > 0).then_some(())
    })
    .await;
    assert_eq!(comments_naming(&world.sandbox.comments(&ticket).await, id), 1);
    assert_eq!(world.sandbox.listed(&ticket).len(), 1);
    // Pieces of it that lay elsewhere go in the background.
    eventually_async("nothing else is left of it", async || {
        let all = world.stored().await;
        let of_it: Vec<_> = all.into_iter().filter(|key| key.contains(id)).collect();
        (of_it == [format!("{ticket}/{id}/core.bin")]).then_some(())
    })
    .await;
}

/// Browsers on other sites and clients of a protocol can read why a name with a slash is refused.
#[test]
fn refused_paths_keep_their_protocol() {
    let world = World::start();
    let link = world.link("acme");
    for below in ["a/b", "/a", "a/", "a/b/c"] {
        let url = format!("{link}/{below}");
        let draft = ask("PUT", &url, &["Upload-Complete: ?1"], b"x");
        assert_eq!((draft.status, draft.header("upload-complete")), (400, "?0"), "{draft:?}");
        assert_eq!(draft.header("access-control-allow-origin"), "*", "{draft:?}");
        let tus = ask("PATCH", &url, TUS, b"x");
        assert_eq!((tus.status, tus.header("tus-resumable")), (404, "1.0.0"), "{tus:?}");
        let options = ask("OPTIONS", &url, &[], b"");
        assert_eq!(options.status, ask("OPTIONS", &link, &[], b"").status, "{options:?}");
    }
}
