//! Operations on objects: S3's inputs and outputs over the store's.
//! Invariant: a read returns exactly what was stored, whole or in ranges.

use std::collections::BTreeMap;
use std::ops::Range as Span;
use std::sync::Arc;

use http::HeaderMap;
use s3s::dto::*;
use s3s::{S3Request, S3Result, s3_error};

use super::checksum::{Algorithm, Declared, crc64_base64};
use super::store::{self, Attributes, Condition, Object as Stored, Start, Store};

/// S3's limit for all user metadata of an object, names and values together.
const METADATA_MAX_BYTES: usize = 2 << 10;

pub(super) async fn put(store: &Store, req: S3Request<PutObjectInput>) -> S3Result<PutObjectOutput> {
    refuse_unsupported(&req.headers)?;
    let input = req.input;
    if input.write_offset_bytes.is_some() {
        return Err(s3_error!(NotImplemented, "Appending to objects is not implemented."));
    }
    store.bucket_exists(&input.bucket)?;
    let attributes = attributes(
        input.metadata,
        [
            input.content_type,
            input.content_encoding,
            input.content_disposition,
            input.content_language,
            input.cache_control,
        ],
    )?;
    let condition = condition(input.if_none_match, input.if_match)?;
    let declared = Declared::from_headers(&req.headers)?;
    let received = store.receive(input.body, declared, req.trailing_headers).await?;
    let object = store.put(input.bucket, input.key, attributes, condition, received).await?;
    let manifest = &object.manifest;
    let given = |algorithm| manifest.checksum.as_ref().and_then(|checksum| checksum.of(algorithm));
    Ok(PutObjectOutput {
        e_tag: Some(ETag::Strong(manifest.etag.clone())),
        checksum_crc64nvme: Some(crc64_base64(manifest.crc64nvme)),
        checksum_crc32: given(Algorithm::Crc32),
        checksum_crc32c: given(Algorithm::Crc32c),
        checksum_sha1: given(Algorithm::Sha1),
        checksum_sha256: given(Algorithm::Sha256),
        checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        ..Default::default()
    })
}

/// Refuses what would be a lie to accept: encryption and tags are not kept, and the sandbox has no other storage class.
pub(super) fn refuse_unsupported(headers: &HeaderMap) -> S3Result<()> {
    const REFUSED: [&str; 5] = [
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-tagging",
        "x-amz-object-lock-mode",
        "x-amz-object-lock-legal-hold",
    ];
    match REFUSED.into_iter().find(|name| headers.contains_key(*name)) {
        Some(name) => Err(s3_error!(
            NotImplemented,
            "A header you provided implies functionality that is not implemented: {name}"
        )),
        None => Ok(()),
    }
}

/// What is kept with an object; `fields` are type, encoding, disposition, language and cache control of the content.
pub(super) fn attributes(metadata: Option<Metadata>, fields: [Option<String>; 5]) -> S3Result<Attributes> {
    let metadata: BTreeMap<_, _> = metadata.unwrap_or_default().into_iter().collect();
    if metadata.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > METADATA_MAX_BYTES {
        return Err(s3_error!(
            MetadataTooLarge,
            "Your metadata headers exceed the maximum allowed metadata size"
        ));
    }
    let [content_type, content_encoding, content_disposition, content_language, cache_control] = fields;
    Ok(Attributes {
        content_type,
        content_encoding,
        content_disposition,
        content_language,
        cache_control,
        metadata,
    })
}

pub(super) fn condition(none_match: Option<IfNoneMatch>, if_match: Option<IfMatch>) -> S3Result<Condition> {
    match (none_match, if_match) {
        (None, None) => Ok(Condition::None),
        (Some(ETagCondition::Any), None) => Ok(Condition::Absent),
        (None, Some(ETagCondition::Any)) => Ok(Condition::Present(None)),
        (None, Some(ETagCondition::ETag(tag))) => Ok(Condition::Present(Some(tag.into_value()))),
        _ => Err(s3_error!(NotImplemented, "Only If-None-Match: * or If-Match is implemented for writes.")),
    }
}

pub(super) fn get(store: &Store, input: &GetObjectInput) -> S3Result<GetObjectOutput> {
    refuse_selection(input.part_number, input.version_id.as_deref())?;
    let object = store.object(&input.bucket, &input.key)?;
    check_conditions(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let (span, content_range) = span(&object, input.range)?;
    let head = describe(&object, input.checksum_mode.as_ref(), content_range.is_some());
    Ok(GetObjectOutput {
        content_length: Some(length(span.end - span.start)),
        body: Some(store::stream(object, span)),
        content_range,
        accept_ranges: head.accept_ranges,
        cache_control: head.cache_control,
        checksum_crc32: head.checksum_crc32,
        checksum_crc32c: head.checksum_crc32c,
        checksum_crc64nvme: head.checksum_crc64nvme,
        checksum_sha1: head.checksum_sha1,
        checksum_sha256: head.checksum_sha256,
        checksum_type: head.checksum_type,
        content_disposition: head.content_disposition,
        content_encoding: head.content_encoding,
        content_language: head.content_language,
        content_type: head.content_type,
        e_tag: head.e_tag,
        last_modified: head.last_modified,
        metadata: head.metadata,
        ..Default::default()
    })
}

pub(super) fn head(store: &Store, input: &HeadObjectInput) -> S3Result<HeadObjectOutput> {
    refuse_selection(input.part_number, input.version_id.as_deref())?;
    let object = store.object(&input.bucket, &input.key)?;
    check_conditions(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let (span, content_range) = span(&object, input.range)?;
    let mut head = describe(&object, input.checksum_mode.as_ref(), content_range.is_some());
    head.content_length = Some(length(span.end - span.start));
    head.content_range = content_range;
    Ok(head)
}

fn refuse_selection(part: Option<PartNumber>, version: Option<&str>) -> S3Result<()> {
    if part.is_some() || version.is_some_and(|version| version != "null") {
        return Err(s3_error!(NotImplemented, "Reading single parts or versions is not implemented."));
    }
    Ok(())
}

fn check_conditions(
    object: &Stored,
    if_match: Option<&IfMatch>,
    none_match: Option<&IfNoneMatch>,
) -> S3Result<()> {
    let is = |wanted: &ETagCondition| match wanted {
        ETagCondition::Any => true,
        ETagCondition::ETag(tag) => tag.value() == object.manifest.etag,
    };
    if if_match.is_some_and(|wanted| !is(wanted)) {
        return Err(s3_error!(
            PreconditionFailed,
            "At least one of the pre-conditions you specified did not hold"
        ));
    }
    if none_match.is_some_and(is) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

/// The bytes asked for, and `Content-Range` where they are not simply all.
fn span(object: &Stored, range: Option<Range>) -> S3Result<(Span<u64>, Option<String>)> {
    let size = object.manifest.size;
    let Some(range) = range else { return Ok((0..size, None)) };
    let Ok(span) = range.check(size) else {
        return Err(s3_error!(
            InvalidRange,
            "The requested range is not satisfiable (the object has {size} bytes)"
        ));
    };
    if span.is_empty() {
        // The last bytes of an empty object.
        return Err(s3_error!(InvalidRange, "The requested range is not satisfiable (the object is empty)"));
    }
    let content_range = format!("bytes {}-{}/{size}", span.start, span.end - 1);
    Ok((span, Some(content_range)))
}

fn length(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The headers that describe an object. Checksums are sent on request, and not for a range, which they do not cover.
fn describe(object: &Stored, mode: Option<&ChecksumMode>, partial: bool) -> HeadObjectOutput {
    let manifest = &object.manifest;
    let attributes = manifest.attributes.clone();
    let told = mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED) && !partial;
    let given =
        |algorithm| manifest.checksum.as_ref().filter(|_| told).and_then(|checksum| checksum.of(algorithm));
    HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        cache_control: attributes.cache_control,
        checksum_crc32: given(Algorithm::Crc32),
        checksum_crc32c: given(Algorithm::Crc32c),
        checksum_crc64nvme: told.then(|| crc64_base64(manifest.crc64nvme)),
        checksum_sha1: given(Algorithm::Sha1),
        checksum_sha256: given(Algorithm::Sha256),
        checksum_type: told.then(|| ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        content_disposition: attributes.content_disposition,
        content_encoding: attributes.content_encoding,
        content_language: attributes.content_language,
        content_length: Some(length(manifest.size)),
        content_type: Some(attributes.content_type.unwrap_or_else(|| "binary/octet-stream".to_owned())),
        e_tag: Some(ETag::Strong(manifest.etag.clone())),
        last_modified: Some(timestamp(manifest.modified_ms)),
        metadata: Some(attributes.metadata.into_iter().collect()),
        ..Default::default()
    }
}

pub(super) async fn delete_many(store: &Store, input: DeleteObjectsInput) -> S3Result<DeleteObjectsOutput> {
    if input.delete.objects.len() > store::PAGE_MAX {
        return Err(s3_error!(MalformedXML, "At most {} keys can be deleted at once.", store::PAGE_MAX));
    }
    store.bucket_exists(&input.bucket)?;
    let quiet = input.delete.quiet.unwrap_or(false);
    let mut deleted = Vec::new();
    let mut errors = Vec::new();
    for object in input.delete.objects {
        match store.delete(input.bucket.clone(), object.key.clone()).await {
            Ok(()) if quiet => {}
            Ok(()) => deleted.push(DeletedObject { key: Some(object.key), ..Default::default() }),
            Err(error) => errors.push(Error {
                code: Some(error.code().as_str().to_owned()),
                key: Some(object.key),
                message: error.message().map(str::to_owned),
                ..Default::default()
            }),
        }
    }
    Ok(DeleteObjectsOutput { deleted: Some(deleted), errors: Some(errors), ..Default::default() })
}

pub(super) fn list(store: &Store, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let start = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => {
            let start = Start::from_token(token);
            start.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))?
        }
        (None, Some(key)) if !key.is_empty() => Start::AfterKey(key.clone()),
        _ => Start::Beginning,
    };
    let max = max_entries(input.max_keys)?;
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let page = store.list(&input.bucket, prefix, input.delimiter.as_deref(), &start, max)?;
    let url = input.encoding_type.as_ref().is_some_and(|encoding| encoding.as_str() == EncodingType::URL);
    let written = |key: &str| if url { url_encode(key) } else { key.to_owned() };
    let contents: Vec<_> = page.values.iter().map(|object| entry(object, &written)).collect();
    let prefixes: Vec<_> =
        page.common_prefixes.iter().map(|prefix| CommonPrefix { prefix: Some(written(prefix)) }).collect();
    Ok(ListObjectsV2Output {
        key_count: Some(count(contents.len() + prefixes.len())),
        max_keys: Some(count(max)),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.and_then(|next| next.to_token()),
        contents: Some(contents),
        common_prefixes: Some(prefixes),
        prefix: Some(written(prefix)),
        delimiter: input.delimiter.as_deref().map(written),
        start_after: input.start_after.as_deref().map(written),
        name: Some(input.bucket),
        continuation_token: input.continuation_token,
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}

fn entry(object: &Arc<Stored>, written: &impl Fn(&str) -> String) -> Object {
    let manifest = &object.manifest;
    Object {
        checksum_algorithm: Some(vec![ChecksumAlgorithm::from_static(ChecksumAlgorithm::CRC64NVME)]),
        checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        e_tag: Some(ETag::Strong(manifest.etag.clone())),
        key: Some(written(&manifest.key)),
        last_modified: Some(timestamp(manifest.modified_ms)),
        size: Some(length(manifest.size)),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        ..Default::default()
    }
}

/// A page's size as the client wishes it, at most S3's.
pub(super) fn max_entries(wanted: Option<i32>) -> S3Result<usize> {
    match wanted {
        None => Ok(store::PAGE_MAX),
        Some(wanted) => usize::try_from(wanted)
            .map(|wanted| wanted.min(store::PAGE_MAX))
            .map_err(|_| s3_error!(InvalidArgument, "A page cannot have fewer than no entries")),
    }
}

/// A number of entries, bounded by a page.
pub(super) fn count(entries: usize) -> i32 {
    i32::try_from(entries).unwrap_or(i32::MAX)
}

/// For keys that XML cannot carry as they are (`encoding-type=url`).
pub(super) fn url_encode(key: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
    utf8_percent_encode(key, KEPT).to_string()
}

/// Milliseconds since 1970 as S3's time.
pub(super) fn timestamp(ms: i64) -> Timestamp {
    let since = std::time::Duration::from_millis(u64::try_from(ms).unwrap_or_default());
    Timestamp::from(std::time::UNIX_EPOCH + since)
}
