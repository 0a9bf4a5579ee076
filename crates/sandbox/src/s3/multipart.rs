//! Operations on multipart uploads: S3's inputs and outputs over the store's.
//! Invariant: every refusal comes with the code that S3 uses for it, and changes nothing.

use s3s::dto::*;
use s3s::{S3Request, S3Result, s3_error};

use super::checksum::{Algorithm, Checksum, Declared, crc64_base64};
use super::objects::{attributes, condition, count, max_entries, refuse_unsupported, timestamp, url_encode};
use super::store::{Complete, ListedPart, Part as StoredPart, Store, UploadRecord};

/// S3's highest part number.
const PART_NUMBER_MAX: i32 = 10_000;

pub(super) async fn create(
    store: &Store,
    req: S3Request<CreateMultipartUploadInput>,
) -> S3Result<CreateMultipartUploadOutput> {
    refuse_unsupported(&req.headers)?;
    let input = req.input;
    let (algorithm, checksum_type) =
        checksum_plan(input.checksum_algorithm.as_ref(), input.checksum_type.as_ref())?;
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
    let record = UploadRecord {
        bucket: input.bucket.clone(),
        key: input.key.clone(),
        id: String::new(),
        started_ms: 0,
        algorithm: algorithm.clone(),
        checksum_type: checksum_type.clone(),
        attributes,
    };
    let id = store.create_upload(record).await?;
    Ok(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(id),
        checksum_algorithm: algorithm.map(ChecksumAlgorithm::from),
        checksum_type: checksum_type.map(ChecksumType::from),
        ..Default::default()
    })
}

/// Algorithm and type of an upload's checksum, if S3 knows the pair: CRC64NVME covers the full object only, the SHAs never do.
fn checksum_plan(
    algorithm: Option<&ChecksumAlgorithm>,
    checksum_type: Option<&ChecksumType>,
) -> S3Result<(Option<String>, Option<String>)> {
    let Some(algorithm) = algorithm else {
        return match checksum_type {
            None => Ok((None, None)),
            Some(_) => Err(s3_error!(
                InvalidRequest,
                "The x-amz-checksum-type header needs an x-amz-checksum-algorithm."
            )),
        };
    };
    let Some(known) = Algorithm::parse(algorithm.as_str()) else {
        return Err(s3_error!(
            InvalidRequest,
            "Checksum algorithm provided is unsupported: {}",
            algorithm.as_str()
        ));
    };
    let usual = match known {
        Algorithm::Crc64Nvme => ChecksumType::FULL_OBJECT,
        _ => ChecksumType::COMPOSITE,
    };
    let wanted = checksum_type.map_or(usual, |given| given.as_str());
    let possible = match known {
        Algorithm::Crc64Nvme => wanted == ChecksumType::FULL_OBJECT,
        Algorithm::Sha1 | Algorithm::Sha256 => wanted == ChecksumType::COMPOSITE,
        Algorithm::Crc32 | Algorithm::Crc32c => {
            [ChecksumType::FULL_OBJECT, ChecksumType::COMPOSITE].contains(&wanted)
        }
    };
    if !possible {
        let algorithm = known.as_str();
        return Err(s3_error!(
            InvalidRequest,
            "The {wanted} checksum type cannot be used with the {algorithm} algorithm."
        ));
    }
    Ok((Some(known.as_str().to_owned()), Some(wanted.to_owned())))
}

pub(super) async fn upload_part(
    store: &Store,
    req: S3Request<UploadPartInput>,
) -> S3Result<UploadPartOutput> {
    let input = req.input;
    let number = part_number(input.part_number)?;
    let record = store.upload(&input.bucket, &input.key, &input.upload_id)?;
    let declared = Declared::from_headers(&req.headers)?;
    if let (Some(expected), Some(actual)) = (record.algorithm.as_deref(), declared.algorithm())
        && expected != actual.as_str()
    {
        return Err(s3_error!(
            InvalidRequest,
            "Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {}",
            actual.as_str()
        ));
    }
    let received = store.receive(input.body, declared, req.trailing_headers).await?;
    let part = store.put_part(input.bucket, input.key, input.upload_id, number, received).await?;
    let listed = describe(&part);
    Ok(UploadPartOutput {
        e_tag: listed.e_tag,
        checksum_crc32: listed.checksum_crc32,
        checksum_crc32c: listed.checksum_crc32c,
        checksum_crc64nvme: listed.checksum_crc64nvme,
        checksum_sha1: listed.checksum_sha1,
        checksum_sha256: listed.checksum_sha256,
        ..Default::default()
    })
}

fn part_number(number: PartNumber) -> S3Result<u16> {
    let number =
        u16::try_from(number).ok().filter(|number| (1..=PART_NUMBER_MAX).contains(&i32::from(*number)));
    let message = "Part number must be an integer between 1 and 10000, inclusive";
    number.ok_or_else(|| s3_error!(InvalidArgument, "{message}"))
}

fn describe(part: &StoredPart) -> Part {
    let given = |algorithm| part.checksum.as_ref().and_then(|checksum| checksum.of(algorithm));
    Part {
        checksum_crc32: given(Algorithm::Crc32),
        checksum_crc32c: given(Algorithm::Crc32c),
        checksum_crc64nvme: Some(crc64_base64(part.crc64nvme)),
        checksum_sha1: given(Algorithm::Sha1),
        checksum_sha256: given(Algorithm::Sha256),
        e_tag: Some(ETag::Strong(part.etag.clone())),
        last_modified: Some(timestamp(part.modified_ms())),
        part_number: Some(i32::from(part.number)),
        size: i64::try_from(part.size).ok(),
    }
}

pub(super) async fn complete(
    store: &Store,
    input: CompleteMultipartUploadInput,
) -> S3Result<CompleteMultipartUploadOutput> {
    let wanted = assertions(&input)?;
    let object = store.complete(input.bucket.clone(), input.key.clone(), input.upload_id, wanted).await?;
    Ok(CompleteMultipartUploadOutput {
        location: Some(format!("/{}/{}", input.bucket, url_encode(&input.key))),
        bucket: Some(input.bucket),
        key: Some(input.key),
        e_tag: Some(ETag::Strong(object.manifest.etag.clone())),
        checksum_crc64nvme: Some(crc64_base64(object.manifest.crc64nvme)),
        checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        ..Default::default()
    })
}

/// The claims of a completing client, in the store's terms.
fn assertions(input: &CompleteMultipartUploadInput) -> S3Result<Complete> {
    let others =
        [&input.checksum_crc32, &input.checksum_crc32c, &input.checksum_sha1, &input.checksum_sha256];
    if others.into_iter().any(Option::is_some) {
        return Err(s3_error!(
            NotImplemented,
            "Only a CRC64NVME can be verified over a whole multipart upload."
        ));
    }
    let crc64nvme = match &input.checksum_crc64nvme {
        None => None,
        Some(value) => {
            let digest = Checksum::parse(Algorithm::Crc64Nvme, value)?.digest;
            digest.try_into().ok().map(u64::from_be_bytes)
        }
    };
    let size = match input.mpu_object_size {
        None => None,
        Some(size) => Some(
            u64::try_from(size)
                .map_err(|_| s3_error!(InvalidArgument, "An object size cannot be negative"))?,
        ),
    };
    let listed = input.multipart_upload.iter().flat_map(|upload| &upload.parts).flatten();
    Ok(Complete {
        parts: listed.map(listed_part).collect::<S3Result<_>>()?,
        size,
        crc64nvme,
        checksum_type: input.checksum_type.as_ref().map(|given| given.as_str().to_owned()),
        condition: condition(input.if_none_match.clone(), input.if_match.clone())?,
    })
}

fn listed_part(part: &CompletedPart) -> S3Result<ListedPart> {
    let (Some(number), Some(etag)) = (part.part_number, &part.e_tag) else {
        return Err(s3_error!(MalformedXML, "Each part needs its number and its entity tag."));
    };
    let given = [
        (Algorithm::Crc32, &part.checksum_crc32),
        (Algorithm::Crc32c, &part.checksum_crc32c),
        (Algorithm::Crc64Nvme, &part.checksum_crc64nvme),
        (Algorithm::Sha1, &part.checksum_sha1),
        (Algorithm::Sha256, &part.checksum_sha256),
    ];
    let checksums = given
        .into_iter()
        .filter_map(|(algorithm, value)| value.as_ref().map(|value| Checksum::parse(algorithm, value)))
        .collect::<S3Result<_>>()?;
    Ok(ListedPart { number: part_number(number)?, etag: etag.value().to_owned(), checksums })
}

pub(super) async fn list_parts(store: &Store, input: ListPartsInput) -> S3Result<ListPartsOutput> {
    let record = store.upload(&input.bucket, &input.key, &input.upload_id)?;
    let after = u16::try_from(input.part_number_marker.unwrap_or_default())
        .map_err(|_| s3_error!(InvalidArgument, "The part number marker is not a part number"))?;
    let max = max_entries(input.max_parts)?;
    let place = (input.bucket.clone(), input.key.clone(), input.upload_id.clone());
    let (parts, truncated) = store.parts(place, after, max).await?;
    let next = parts.last().filter(|_| truncated).map(|part| i32::from(part.number));
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        checksum_algorithm: record.algorithm.map(ChecksumAlgorithm::from),
        checksum_type: record.checksum_type.map(ChecksumType::from),
        is_truncated: Some(truncated),
        max_parts: Some(count(max)),
        next_part_number_marker: next,
        part_number_marker: input.part_number_marker,
        parts: Some(parts.iter().map(describe).collect()),
        ..Default::default()
    })
}

pub(super) fn list_uploads(
    store: &Store,
    input: ListMultipartUploadsInput,
) -> S3Result<ListMultipartUploadsOutput> {
    if input.delimiter.as_deref().is_some_and(|delimiter| !delimiter.is_empty()) {
        return Err(s3_error!(NotImplemented, "A delimiter is not implemented for listing uploads."));
    }
    let max = max_entries(input.max_uploads)?;
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let id_marker = input.upload_id_marker.as_deref().filter(|marker| !marker.is_empty());
    let after = input.key_marker.as_deref().filter(|marker| !marker.is_empty()).map(|key| (key, id_marker));
    let page = store.list_uploads(&input.bucket, prefix, after, max)?;
    let last = page.uploads.last().filter(|_| page.truncated);
    let url = input.encoding_type.as_ref().is_some_and(|encoding| encoding.as_str() == EncodingType::URL);
    let written = |key: &str| if url { url_encode(key) } else { key.to_owned() };
    Ok(ListMultipartUploadsOutput {
        next_key_marker: last.map(|upload| written(&upload.key)),
        next_upload_id_marker: last.map(|upload| upload.id.clone()),
        is_truncated: Some(page.truncated),
        max_uploads: Some(count(max)),
        prefix: Some(written(prefix)),
        uploads: Some(page.uploads.iter().map(|upload| listed_upload(upload, &written)).collect()),
        bucket: Some(input.bucket),
        key_marker: input.key_marker.as_deref().map(written),
        upload_id_marker: input.upload_id_marker,
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}

fn listed_upload(upload: &UploadRecord, written: &impl Fn(&str) -> String) -> MultipartUpload {
    MultipartUpload {
        checksum_algorithm: upload.algorithm.clone().map(ChecksumAlgorithm::from),
        checksum_type: upload.checksum_type.clone().map(ChecksumType::from),
        initiated: Some(timestamp(upload.started_ms)),
        key: Some(written(&upload.key)),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        upload_id: Some(upload.id.clone()),
        ..Default::default()
    }
}
