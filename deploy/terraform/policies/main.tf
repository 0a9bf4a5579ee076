# Builds the policies from plain values, without a provider, so that they can be tested without an account.

terraform {
  required_version = ">= 1.9"
}

variable "partition" {
  description = "`aws`, `aws-cn`, …"
  type        = string
  default     = "aws"
}

variable "region" {
  description = "Region of the buckets."
  type        = string
}

variable "key_prefix" {
  description = "Prefix of every key. Empty, or ending in `/`."
  type        = string
}

variable "buckets" {
  description = "Buckets by partner. The shared one is `support-uploader`."
  type        = map(object({ name = string, kms_key_arn = string }))
}

locals {
  arns = { for id, bucket in var.buckets : id => "arn:${var.partition}:s3:::${bucket.name}" }

  # A managed policy may have 6,144 characters. 12 buckets fit, whatever the length of their names.
  chunks = chunklist(sort(keys(var.buckets)), 12)

  # Exactly the actions that crates/bucket needs: see the table in .ci/deploy.
  gateway = [for ids in local.chunks : jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "Bucket"
        Effect = "Allow"
        Action = [
          "s3:GetBucketVersioning", "s3:GetLifecycleConfiguration", "s3:ListBucket", "s3:ListBucketMultipartUploads",
          "s3:ListBucketVersions",
        ]
        Resource = [for id in ids : local.arns[id]]
      },
      {
        Sid    = "Objects"
        Effect = "Allow"
        Action = [
          "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject", "s3:GetObjectTagging",
          "s3:ListMultipartUploadParts", "s3:PutObject",
        ]
        Resource = [
          for id in ids : "${local.arns[id]}/${var.key_prefix}*"
        ]
      },
      {
        Sid       = "Keys"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = [for id in ids : var.buckets[id].kms_key_arn]
        Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.${var.partition == "aws-cn" ? "amazonaws.com.cn" : "amazonaws.com"}" } }
      },
    ]
  })]

  bucket = { for id, bucket in var.buckets : id => jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.arns[id], "${local.arns[id]}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "Tls12"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.arns[id], "${local.arns[id]}/*"]
        Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
      },
      {
        # A request that names a key must name this one. Otherwise the bucket's default applies, which is the same key.
        Sid       = "OwnKey"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:PutObject"
        Resource  = "${local.arns[id]}/*"
        Condition = {
          StringNotEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = bucket.kms_key_arn }
          Null            = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = "false" }
        }
      },
      {
        # A request cannot ask for weaker encryption.
        Sid       = "NoOtherEncryption"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:PutObject"
        Resource  = "${local.arns[id]}/*"
        Condition = {
          StringNotEquals = { "s3:x-amz-server-side-encryption" = "aws:kms" }
          Null            = { "s3:x-amz-server-side-encryption" = "false" }
        }
      },
    ]
  }) }
}

output "gateway" {
  description = "Policies for the gateway's role. Together they allow what it does, and no more."
  value       = local.gateway
}

output "bucket" {
  description = "The policy of each bucket."
  value       = local.bucket
}
