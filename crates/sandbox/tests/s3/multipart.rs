//! Multipart uploads that go well: unequal parts, replaced parts, many at once, pages of parts and of uploads.

use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
};
use futures_util::future::join_all;

use crate::{BUCKET, MIB, TestStore, crc64, pattern};

impl TestStore {
    pub(crate) async fn create(&self, key: &str) -> String {
        let call = self.client.create_multipart_upload().bucket(BUCKET).key(key).metadata("partner", "acme");
        let call =
            call.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).checksum_type(ChecksumType::FullObject);
        call.send().await.unwrap().upload_id.unwrap()
    }

    pub(crate) async fn part(&self, key: &str, id: &str, number: i32, data: &[u8]) -> CompletedPart {
        let call = self.client.upload_part().bucket(BUCKET).key(key).upload_id(id).part_number(number);
        let call = call.checksum_crc64_nvme(crc64(data)).body(data.to_vec().into());
        let answer = call.customize().disable_payload_signing().send().await.unwrap();
        assert_eq!(answer.checksum_crc64_nvme(), Some(crc64(data).as_str()));
        let part = CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag);
        part.checksum_crc64_nvme(crc64(data)).build()
    }
}

pub(crate) fn parts(parts: Vec<CompletedPart>) -> CompletedMultipartUpload {
    CompletedMultipartUpload::builder().set_parts(Some(parts)).build()
}

#[tokio::test]
async fn unequal_parts_become_one_object_without_copying() {
    let world = TestStore::start().await;
    let data = pattern(13 * MIB, 11);
    let cuts = [0, 5 * MIB + 1, 11 * MIB, 13 * MIB];
    let id = world.create("big").await;
    let mut done = Vec::new();
    for (number, cut) in (1..).zip(cuts.windows(2)) {
        done.push(world.part("big", &id, number, &data[cut[0]..cut[1]]).await);
    }
    assert!(!world.exists("big").await, "nothing shows before the end");
    let call = world.client.complete_multipart_upload().bucket(BUCKET).key("big").upload_id(&id);
    let call = call.checksum_crc64_nvme(crc64(&data)).checksum_type(ChecksumType::FullObject);
    let call = call.mpu_object_size(i64::try_from(data.len()).unwrap()).if_none_match("*");
    let answer = call.multipart_upload(parts(done)).send().await.unwrap();
    assert_eq!(world.blobs(), 3, "the parts themselves are the object");

    let world = world.restart().await;
    let call = world.client.head_object().bucket(BUCKET).key("big").checksum_mode(ChecksumMode::Enabled);
    let head = call.send().await.unwrap();
    assert_eq!(head.e_tag(), answer.e_tag());
    assert_eq!(head.checksum_crc64_nvme(), Some(crc64(&data).as_str()));
    assert_eq!(head.metadata().unwrap()["partner"], "acme");
    assert!(world.get("big").await == data);
    let across = format!("bytes={}-{}", 5 * MIB - 10, 11 * MIB + 10);
    let answer = world.client.get_object().bucket(BUCKET).key("big").range(across).send().await.unwrap();
    assert!(answer.body.collect().await.unwrap().to_vec() == data[5 * MIB - 10..=11 * MIB + 10]);
}

#[tokio::test]
async fn resent_part_replaces_the_first() {
    let world = TestStore::start().await;
    let id = world.create("k").await;
    let old = world.part("k", &id, 1, &pattern(100, 1)).await;
    let new = world.part("k", &id, 1, &pattern(100, 1)).await;
    assert_ne!(old.e_tag(), new.e_tag(), "a tag names the attempt, not the bytes");
    let last = world.part("k", &id, 1, b"last").await;
    assert_eq!(world.blobs(), 1);
    let world = world.restart().await;
    let listed = world.client.list_parts().bucket(BUCKET).key("k").upload_id(&id).send().await.unwrap();
    assert_eq!(listed.parts().len(), 1);
    assert_eq!(listed.parts()[0].e_tag(), last.e_tag());
    assert_eq!(listed.parts()[0].size(), Some(4));
    assert_eq!(listed.parts()[0].checksum_crc64_nvme(), Some(crc64(b"last").as_str()));
    let call = world.client.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(&id);
    call.multipart_upload(parts(vec![last])).send().await.unwrap();
    assert_eq!(world.get("k").await, b"last");
}

#[tokio::test]
async fn sixteen_parts_at_once() {
    let world = TestStore::start().await;
    let data = pattern(16 * 5 * MIB, 4);
    let id = world.create("wide").await;
    let sent = (1..).zip(data.chunks(5 * MIB)).map(|(number, chunk)| world.part("wide", &id, number, chunk));
    let done = join_all(sent).await;
    let call = world.client.complete_multipart_upload().bucket(BUCKET).key("wide").upload_id(&id);
    let call = call.checksum_crc64_nvme(crc64(&data)).checksum_type(ChecksumType::FullObject);
    call.multipart_upload(parts(done)).send().await.unwrap();
    assert!(world.get("wide").await == data);
}

#[tokio::test]
async fn aborted_upload_leaves_nothing() {
    let world = TestStore::start().await;
    let id = world.create("k").await;
    let part = world.part("k", &id, 1, b"x").await;
    world.client.abort_multipart_upload().bucket(BUCKET).key("k").upload_id(&id).send().await.unwrap();
    assert_eq!(world.blobs(), 0);
    let listed = world.client.list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    assert!(listed.uploads().is_empty());
    let call = world.client.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(&id);
    let refused = call.multipart_upload(parts(vec![part])).send().await.unwrap_err();
    assert_eq!(crate::code(&refused), "NoSuchUpload");
}

#[tokio::test]
async fn parts_and_uploads_come_in_pages() {
    let world = TestStore::start().await;
    let mut ids = Vec::new();
    for key in ["a/1", "b/1", "b/1", "b/2", "c"] {
        ids.push((key.to_owned(), world.create(key).await));
    }
    let mut found = Vec::new();
    let (mut key, mut id) = (None, None);
    loop {
        let call = world.client.list_multipart_uploads().bucket(BUCKET).prefix("b/").max_uploads(1);
        let page = call.set_key_marker(key).set_upload_id_marker(id).send().await.unwrap();
        let uploads = page.uploads().iter();
        found.extend(
            uploads.map(|upload| (upload.key().unwrap().to_owned(), upload.upload_id().unwrap().to_owned())),
        );
        (key, id) = (page.next_key_marker, page.next_upload_id_marker);
        if page.is_truncated != Some(true) {
            break;
        }
    }
    assert_eq!(found, ids[1..4], "by key, then by time");

    let id = &ids[4].1;
    for number in [7, 1, 10_000, 3] {
        world.part("c", id, number, b"x").await;
    }
    let pages =
        world.client.list_parts().bucket(BUCKET).key("c").upload_id(id).max_parts(3).into_paginator().items();
    let numbers: Vec<_> = pages.send().try_collect().await.unwrap();
    let numbers: Vec<_> = numbers.iter().filter_map(aws_sdk_s3::types::Part::part_number).collect();
    assert_eq!(numbers, [1, 3, 7, 10_000]);
}
