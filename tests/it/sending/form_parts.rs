//! The parts of a form: any bytes between any delimiters, and every kind of part that senders make. Nothing is dropped
//! silently, and no truncated file is stored.

use serde_json::{Value, json};
use tests::{Answer, RawClient, Shared, World, object, sha256};

static SHARED: Shared = Shared::with(&[]);

/// Posts these bytes as a form, in chunks of `size` bytes, with this `Content-Type`.
fn post(link: &str, content_type: &str, bytes: &[u8], size: usize) -> Answer {
    let content_type = format!("Content-Type: {content_type}");
    let mut raw = RawClient::request("POST", link, &[&content_type, "Transfer-Encoding: chunked"]);
    for chunk in bytes.chunks(size) {
        raw.chunk(chunk);
    }
    raw.chunk(b"");
    raw.half_close();
    raw.answer().unwrap()
}

fn link(world: &World) -> String {
    world.gateway.make_link(&["--partner", "acme", "--ticket", "1002"])
}

async fn bytes_of(world: &World, receipt: &Value) -> Vec<u8> {
    let field = |name: &str| receipt[name].as_str().unwrap();
    let key = format!("{}/{}/{}", field("ticket"), field("id"), field("name"));
    object(&world.sandbox.bucket(None).await, &key).await
}

#[tokio::test]
async fn near_delimiters_are_data() {
    let world = SHARED.world();
    for (boundary, content) in [
        ("XB", "before\r\n--XBYTES behind"),
        ("XB", "before\r\n--XB--BYTES"),
        ("XB", "\r\n--XB \t x\r\n--X\r\n--\r\n-\r\n\r\n--XB-\r"),
        ("XB", "\r\n--XB\n--XB\r\n"),
        ("-", "a\r\n--\r\n---x\r\n-----x-"),
        ("----=_Part_1_2.3", "------=_Part_1_2.3\n\r\n------=_Part_1_2.30"),
    ] {
        let form = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=f; filename=a.bin\r\n\r\n{content}\r\n--{boundary}--\r\n"
        );
        for size in [1, 7, form.len()] {
            let content_type = format!("multipart/form-data; boundary={boundary}");
            let answer = post(&link(&world), &content_type, form.as_bytes(), size);
            let receipt = answer.json();
            assert_eq!(
                (answer.status, &receipt["sha256"]),
                (201, &json!(sha256(content.as_bytes()))),
                "{content:?}"
            );
            assert_eq!(bytes_of(&world, &receipt).await, content.as_bytes());
        }
    }
}

#[tokio::test]
async fn malformed_form_never_gets_a_receipt_for_a_truncated_file() {
    let world = World::start();
    let before = world.stored().await;
    let link = link(&world);
    let begin = "--XB\r\nContent-Disposition: form-data; name=f; filename=a.bin\r\n\r\nbefore";
    for rest in [
        "",
        "\r\n--X",
        "\r\n--XB",
        "\r\n--XB-",
        "\r\n--XB\r\n",
        "\r\n--XBYTES\r\n",
        "\r\n--XB\r\nBYTES\r\n\r\nbehind\r\n--XB--\r\n",
        "\r\n--XB\r\nContent-Disposition: form-data; name=g; filename=b.bin",
        "\r\n--XB\r\nContent-Disposition: form-data; name=g; filename=b.bin\n\nbehind\n--XB--\n",
        "\n--XB--\n",
    ] {
        let form = format!("{begin}{rest}");
        let answer = post(&link, "multipart/form-data; boundary=XB", form.as_bytes(), form.len());
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "/problems/bad-request"),
            "{rest:?}: {answer:?}"
        );
    }
    world.until_at_rest();
    world.gateway.sweep();
    assert_eq!(world.stored().await, before);
}

#[test]
fn data_after_the_form_is_reported() {
    let world = SHARED.world();
    let part = |name: &str| {
        format!("--XB\r\nContent-Disposition: form-data; name=f; filename={name}\r\n\r\n{name}\r\n")
    };
    let form = format!("{}--XB--\r\n{}--XB--\r\n", part("a.log"), part("b.log"));
    let answer = post(&link(&world), "multipart/form-data; boundary=XB", form.as_bytes(), form.len());
    let uploads = answer.json()["uploads"].clone();
    assert_eq!(
        (answer.status, &uploads[0]["name"], &uploads[1]["status"]),
        (400, &json!("a.log"), &json!(400)),
        "{answer:?}"
    );
    assert!(uploads[1]["detail"].as_str().unwrap().contains("were not stored"), "{answer:?}");
}

/// The outcome of a part beside a good file.
#[derive(Debug)]
enum Fate {
    /// Stored under a name that begins so.
    Stored(&'static str),
    /// Named as not stored, with this status and type.
    Refused(u16, &'static str, &'static str),
    /// A text field: no file.
    Text,
}

#[tokio::test]
async fn every_part_is_stored_or_named() {
    use Fate::{Refused, Stored, Text};
    const MEDIA: &str = "/problems/unsupported-media-type";
    let world = SHARED.world();
    let nested = "--YY\r\nContent-Disposition: file; filename=in.log\r\n\r\nin\r\n--YY--\r\n";
    for (headers, bytes, fate) in [
        (
            "Content-Disposition: form-data; name=\"f\"\r\nContent-Type: application/zip",
            "zip",
            Stored("upload-"),
        ),
        (
            "Content-Disposition: form-data; name=\"f\"\r\nContent-Type: application/json",
            "{}",
            Stored("upload-"),
        ),
        ("Content-Type: application/octet-stream", "bytes", Stored("upload-")),
        ("X-Nothing: 1", "bytes", Stored("upload-")),
        ("Content-Disposition: attachment; filename=\"b.log\"", "b", Stored("b.log")),
        (
            "Content-Disposition: form-data; name=f; filename*0=\"a very \"; filename*1=\"long.log\"",
            "c",
            Stored("a very long.log"),
        ),
        (
            "Content-Disposition: form-data; name=f; filename*=UTF-8''%e2%82%ac.log",
            "d",
            Stored("\u{20ac}.log"),
        ),
        ("Content-Disposition: form-data; name=f; filename*=iso-8859-1''%a3.log", "e", Stored("\u{a3}.log")),
        ("Content-Disposition: form-data; name=f;\r\n\tfilename=\"folded.log\"", "f", Stored("folded.log")),
        (
            "Content-Disposition: form-data; name=f\r\nContent-Type: text/plain; name=\"mail.log\"",
            "g",
            Stored("mail.log"),
        ),
        (
            "Content-Disposition: form-data; name=f; filename=h.log\r\nContent-Transfer-Encoding: 8BIT",
            "h",
            Stored("h.log"),
        ),
        (
            "Content-Disposition: form-data; name=f; filename*=koi8-r''%c1",
            "x",
            Refused(400, "/problems/bad-name", "form-data; name=f; filename*=koi8-r''%c1"),
        ),
        (
            "Content-Disposition: form-data; name=f; filename*0=a; filename*2=b",
            "x",
            Refused(400, "/problems/bad-name", "form-data; name=f; filename*0=a; filename*2=b"),
        ),
        (
            "Content-Disposition: form-data; name=f; filename=i.log\r\nContent-Transfer-Encoding: base64",
            "aWk=",
            Refused(415, MEDIA, "i.log"),
        ),
        (
            "Content-Disposition: form-data; name=f; filename=i.log\r\nContent-Transfer-Encoding: quoted-printable",
            "=69",
            Refused(415, MEDIA, "i.log"),
        ),
        (
            "Content-Disposition: form-data; name=f; filename=i.log\r\nContent-Encoding: gzip",
            "gz",
            Refused(415, MEDIA, "i.log"),
        ),
        (
            "Content-Disposition: form-data; name=files\r\nContent-Type: multipart/mixed; boundary=YY",
            nested,
            Refused(415, MEDIA, "files"),
        ),
        ("Content-Disposition: form-data; name=note", "a text", Text),
        (
            "Content-Disposition: form-data; name=note\r\nContent-Type: text/plain; charset=utf-8",
            "a text",
            Text,
        ),
    ] {
        let good = "Content-Disposition: form-data; name=f; filename=good.log\r\n\r\ngood";
        for part_first in [true, false] {
            let part = format!("{headers}\r\n\r\n{bytes}");
            let both = if part_first { [part.as_str(), good] } else { [good, part.as_str()] };
            let form = format!("--XB\r\n{}\r\n--XB\r\n{}\r\n--XB--\r\n", both[0], both[1]);
            let answer =
                post(&link(&world), "multipart/form-data; boundary=\"XB\"", form.as_bytes(), form.len());
            let all = answer.json();
            let at = |first: bool| usize::from(first != part_first);
            match &fate {
                Text => assert_eq!((answer.status, &all["name"]), (201, &json!("good.log")), "{headers}"),
                Stored(named) => {
                    let part = &all["uploads"][at(true)];
                    assert_eq!(answer.status, 201, "{headers}: {answer:?}");
                    assert!(part["name"].as_str().unwrap().starts_with(named), "{headers}: {answer:?}");
                    assert_eq!(bytes_of(&world, part).await, bytes.as_bytes(), "{headers}");
                }
                Refused(status, kind, named) => {
                    let part = &all["uploads"][at(true)];
                    assert_eq!(
                        (answer.status, &part["status"]),
                        (*status, &json!(status)),
                        "{headers}: {answer:?}"
                    );
                    assert_eq!((&part["type"], &part["name"]), (&json!(kind), &json!(named)), "{headers}");
                }
            }
            if !matches!(fate, Text) {
                assert_eq!(bytes_of(&world, &all["uploads"][at(false)]).await, b"good", "{headers}");
            }
        }
    }
}
