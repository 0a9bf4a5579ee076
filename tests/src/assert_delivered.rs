//! Asserts the whole promise for one file from outside: one upload, its bytes, one comment, and nothing else.

use serde_json::Value;

use crate::{Answer, Gateway, Sandbox, comments_naming, curl, eventually_async, object, objects, unfinished};

impl Sandbox {
    /// Asserts that the upload of this receipt is whole in its bucket, is the only one of its name on its ticket, and is in one
    /// comment.
    pub async fn arrived_once(&self, receipt: &Value, bytes: &[u8]) {
        let text =
            |field: &str| receipt[field].as_str().unwrap_or_else(|| panic!("{field}: {receipt}")).to_owned();
        let (id, ticket, name) = (text("id"), text("ticket"), text("name"));
        assert_eq!(text("sha256"), crate::sha256(bytes), "{receipt}");
        let listed = self.listed(&ticket);
        let of_name: Vec<_> = listed.iter().filter(|upload| upload["name"] == name.as_str()).collect();
        assert!(of_name.len() == 1 && of_name[0]["id"] == id.as_str(), "{of_name:#?}");
        let bucket = self.bucket(None).await;
        assert!(object(&bucket, &format!("{ticket}/{id}/{name}")).await == bytes, "other bytes in {name}");
        eventually_async("the note is on the ticket", async || {
            (comments_naming(&self.comments(&ticket).await, &id) > 0).then_some(())
        })
        .await;
        eventually_async("the delivery is done", async || {
            let now = self.listed(&ticket).into_iter().find(|upload| upload["id"] == id.as_str())?;
            (now["delivery"] == "done").then_some(())
        })
        .await;
        assert_eq!(comments_naming(&self.comments(&ticket).await, &id), 1, "{id}");
    }

    /// Asserts that after a sweep the shared bucket holds only the files of these receipts and what delivery writes beside
    /// them: no parts, no tails.
    pub async fn holds_only(&self, gateway: &Gateway, receipts: &[&Value]) {
        let bucket = self.bucket(None).await;
        let mut expected: Vec<_> = receipts
            .iter()
            .map(|receipt| {
                let text = |field: &str| receipt[field].as_str().unwrap().to_owned();
                format!("{}/{}/{}", text("ticket"), text("id"), text("name"))
            })
            .collect();
        expected.sort();
        eventually_async("nothing else is left", async || {
            let swept = gateway.sweep();
            assert_eq!((&swept["failed"], &swept["leaked"]), (&0.into(), &0.into()), "{swept}");
            let mut there = objects(&bucket).await;
            there.retain(|key| !key.ends_with(".receipt.json"));
            there.sort();
            (there == expected && unfinished(&bucket).await.is_empty()).then_some(())
        })
        .await;
    }

    /// Resumes at the upload's own address: sends the rest of the file, which completes it.
    pub fn resume(&self, url: &str, bytes: &[u8], offset: usize) -> Answer {
        let folder = tempfile::tempdir_in(self.scratch()).unwrap();
        let rest = folder.path().join("rest");
        std::fs::write(&rest, &bytes[offset..]).unwrap();
        curl(&["-H", &format!("Upload-Offset: {offset}"), "-T", rest.to_str().unwrap(), url])
    }
}

impl Answer {
    /// The durable offset in the answer.
    pub fn offset(&self) -> usize {
        self.headers.get("upload-offset").and_then(|at| at.parse().ok()).unwrap_or_else(|| panic!("{self:?}"))
    }
}
