# One shared bucket, and one for each partner with its own. Each bucket has its own KMS key, so disabling one key permanently
# ends access to one partner's files.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  keep_removed_days = merge(
    { "support-uploader" = var.support_uploader_keep_removed_days },
    { for id, partner in var.partners : id => partner.keep_removed_days },
  )
}

resource "aws_kms_key" "bucket" {
  for_each = local.keep_removed_days

  description             = "Weighbridge: files in ${var.name_prefix}-${each.key}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  # No key policy: by AWS's default, this account's IAM policies decide.
}

resource "aws_kms_alias" "bucket" {
  for_each = aws_kms_key.bucket

  name          = "alias/weighbridge/${var.name_prefix}-${each.key}"
  target_key_id = each.value.key_id
}

resource "aws_s3_bucket" "this" {
  for_each = local.keep_removed_days

  bucket = "${var.name_prefix}-${each.key}"

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = aws_s3_bucket.this

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  rule {
    # One KMS call for many objects instead of one for each part.
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.bucket[each.key].arn
    }
  }
}

# Off by default. The gateway promises that a removed or cancelled file is gone after one sweep, and a versioned bucket would
# keep it. Nothing needs versions: an upload's key is never overwritten with other bytes.
resource "aws_s3_bucket_versioning" "this" {
  for_each = { for id, days in local.keep_removed_days : id => days if days > 0 }

  bucket = aws_s3_bucket.this[each.key].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = local.keep_removed_days

  bucket = aws_s3_bucket.this[each.key].id

  # A second safeguard behind the gateway's sweep. Longer than any upload takes.
  rule {
    id     = "abort-incomplete-multipart-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  dynamic "rule" {
    for_each = each.value > 0 ? [each.value] : []

    content {
      id     = "forget-removed-files"
      status = "Enabled"

      filter {}

      noncurrent_version_expiration {
        noncurrent_days = rule.value
      }

      expiration {
        expired_object_delete_marker = true
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

module "policies" {
  source = "./policies"

  partition  = data.aws_partition.current.partition
  region     = var.region
  key_prefix = var.key_prefix
  buckets    = { for id, bucket in aws_s3_bucket.this : id => { name = bucket.bucket, kms_key_arn = aws_kms_key.bucket[id].arn } }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id
  policy = module.policies.bucket[each.key]

  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_iam_policy" "gateway" {
  count = length(module.policies.gateway)

  name        = "${var.name_prefix}-weighbridge-${count.index}"
  description = "What the gateway does in its buckets, and no more"
  policy      = module.policies.gateway[count.index]
}

resource "aws_iam_role_policy_attachment" "gateway" {
  count = var.gateway_role_name == null ? 0 : length(module.policies.gateway)

  role       = var.gateway_role_name
  policy_arn = aws_iam_policy.gateway[count.index].arn
}
