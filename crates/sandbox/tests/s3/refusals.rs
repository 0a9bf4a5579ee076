//! Refusals carry S3's own code and leave no trace.

use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedPart};

use crate::multipart::parts;
use crate::{BUCKET, MIB, TestStore, client, code, crc64, pattern};

#[tokio::test]
async fn puts_with_a_wrong_checksum() {
    let world = TestStore::start().await;
    let put = || world.client.put_object().bucket(BUCKET).key("k").body(b"hello".to_vec().into());
    let wrong = crc64(b"hellO");
    assert_eq!(code(&put().checksum_crc64_nvme(&wrong).send().await.unwrap_err()), "BadDigest");
    assert_eq!(code(&put().checksum_crc32("AAAAAA==").send().await.unwrap_err()), "BadDigest");
    assert_eq!(code(&put().checksum_crc32_c("AAAAAA==").send().await.unwrap_err()), "BadDigest");
    let sha256 = "A".repeat(43) + "=";
    assert_eq!(code(&put().checksum_sha256(sha256).send().await.unwrap_err()), "BadDigest");
    assert_eq!(code(&put().content_md5("A".repeat(22) + "==").send().await.unwrap_err()), "BadDigest");
    assert_eq!(code(&put().checksum_crc64_nvme("short").send().await.unwrap_err()), "InvalidRequest");
    let two = put().checksum_crc64_nvme(crc64(b"hello")).checksum_crc32("NhCmhg==");
    assert_eq!(code(&two.send().await.unwrap_err()), "InvalidRequest");
    assert_eq!(code(&put().metadata("m", "x".repeat(2048)).send().await.unwrap_err()), "MetadataTooLarge");
    assert!(!world.exists("k").await);
    assert_eq!(world.blobs(), 0);
    // And the right ones are kept and told.
    put().checksum_crc32("NhCmhg==").send().await.unwrap();
}

#[tokio::test]
async fn wrong_keys_and_unknown_names() {
    let world = TestStore::start().await;
    let mut access = world.sandbox.s3.clone();
    access.secret_access_key.push('x');
    let stranger = client(&access, 1);
    assert_eq!(code(&stranger.list_buckets().send().await.unwrap_err()), "SignatureDoesNotMatch");
    let get = world.client.get_object().bucket(BUCKET).key("nothing").send().await;
    assert_eq!(code(&get.unwrap_err()), "NoSuchKey");
    let put = world
        .client
        .put_object()
        .bucket("no-such-bucket")
        .key("k")
        .body(vec![0; 2 * MIB].into())
        .send()
        .await;
    assert_eq!(code(&put.unwrap_err()), "NoSuchBucket");
    let lifecycle = world.client.get_bucket_lifecycle_configuration().bucket("no-such-bucket").send().await;
    assert_eq!(code(&lifecycle.unwrap_err()), "NoSuchBucket");
    let again = world.client.create_bucket().bucket(BUCKET).send().await;
    assert_eq!(code(&again.unwrap_err()), "BucketAlreadyOwnedByYou");
    world.client.head_bucket().bucket(BUCKET).expected_bucket_owner("123456789012").send().await.unwrap();
    world.client.create_bucket().bucket("globex-files").send().await.unwrap();
    let names = world.client.list_buckets().send().await.unwrap();
    let names: Vec<_> = names.buckets().iter().filter_map(|bucket| bucket.name()).collect();
    assert_eq!(names, ["globex-files", BUCKET]);
}

#[tokio::test]
async fn parts_that_do_not_fit_the_upload() {
    let world = TestStore::start().await;
    let id = world.create("k").await;
    let part = |number, id: &str| {
        let call = world.client.upload_part().bucket(BUCKET).key("k").upload_id(id).part_number(number);
        call.body(b"hello".to_vec().into())
    };
    assert_eq!(code(&part(1, &id).checksum_crc64_nvme(crc64(b"x")).send().await.unwrap_err()), "BadDigest");
    assert_eq!(code(&part(1, &id).checksum_crc32("NhCmhg==").send().await.unwrap_err()), "InvalidRequest");
    assert_eq!(code(&part(0, &id).send().await.unwrap_err()), "InvalidArgument");
    assert_eq!(code(&part(10_001, &id).send().await.unwrap_err()), "InvalidArgument");
    assert_eq!(code(&part(1, "nothing").send().await.unwrap_err()), "NoSuchUpload");
    assert_eq!(world.blobs(), 0);

    let create = || world.client.create_multipart_upload().bucket(BUCKET).key("k");
    let composite =
        create().checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).checksum_type(ChecksumType::Composite);
    assert_eq!(code(&composite.send().await.unwrap_err()), "InvalidRequest");
    let full = create().checksum_algorithm(ChecksumAlgorithm::Sha256).checksum_type(ChecksumType::FullObject);
    assert_eq!(code(&full.send().await.unwrap_err()), "InvalidRequest");
}

#[tokio::test]
async fn completions_with_wrong_claims() {
    let world = TestStore::start().await;
    let data = pattern(5 * MIB + 3, 9);
    let (head, tail) = data.split_at(5 * MIB);
    let id = world.create("k").await;
    let first = world.part("k", &id, 1, head).await;
    let second = world.part("k", &id, 2, tail).await;
    let small = world.part("k", &id, 3, b"small").await;
    let named = |number: i32, tag: &CompletedPart| {
        CompletedPart::builder().part_number(number).set_e_tag(tag.e_tag.clone()).build()
    };
    let cases = [
        ("a wrong tag", vec![first.clone(), named(2, &first)], "InvalidPart"),
        (
            "a part that is not there",
            vec![first.clone(), second.clone(), small.clone(), named(4, &first)],
            "InvalidPart",
        ),
        ("the wrong order", vec![second.clone(), first.clone()], "InvalidPartOrder"),
        ("a small part inside", vec![first.clone(), second.clone(), small.clone()], "EntityTooSmall"),
        ("a gap", vec![first.clone(), small.clone()], "InvalidRequest"),
        ("no parts", vec![], "InvalidRequest"),
    ];
    let complete = |list| {
        let call = world.client.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(&id);
        call.multipart_upload(parts(list))
    };
    for (what, list, expected) in cases {
        assert_eq!(code(&complete(list).send().await.unwrap_err()), expected, "{what}");
    }
    let both = || complete(vec![first.clone(), second.clone()]);
    assert_eq!(code(&both().mpu_object_size(7).send().await.unwrap_err()), "InvalidRequest");
    assert_eq!(code(&both().checksum_crc64_nvme(crc64(head)).send().await.unwrap_err()), "BadDigest");
    assert_eq!(
        code(&both().checksum_type(ChecksumType::Composite).send().await.unwrap_err()),
        "InvalidRequest"
    );
    let lie = CompletedPart::builder()
        .part_number(1)
        .set_e_tag(first.e_tag.clone())
        .checksum_crc64_nvme(crc64(tail));
    assert_eq!(code(&complete(vec![lie.build(), second.clone()]).send().await.unwrap_err()), "InvalidPart");
    world.put("k", b"here before").await;
    assert_eq!(code(&both().if_none_match("*").send().await.unwrap_err()), "PreconditionFailed");
    assert_eq!(world.get("k").await, b"here before", "nothing was published by any of them");

    both().checksum_crc64_nvme(crc64(&data)).send().await.unwrap();
    assert!(world.get("k").await == data);
    assert_eq!(code(&both().send().await.unwrap_err()), "NoSuchUpload");
    assert_eq!(world.blobs(), 2, "the part that was not used is gone");
}
