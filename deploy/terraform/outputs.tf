output "buckets" {
  description = "For the gateway's configuration: `bucket`, `kms_key` and `expected_owner` of `[support_uploader]` and of each `[partners.NAME.bucket]`."
  value = {
    for id, bucket in aws_s3_bucket.this : id => {
      bucket         = bucket.bucket
      region         = var.region
      prefix         = var.key_prefix
      kms_key        = aws_kms_key.bucket[id].arn
      expected_owner = data.aws_caller_identity.current.account_id
    }
  }
}

output "gateway_policy_arns" {
  description = "Attach these to the gateway's role, unless you set gateway_role_name."
  value       = aws_iam_policy.gateway[*].arn
}
