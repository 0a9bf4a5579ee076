# Run `tofu init && tofu test` in this folder. Needs no account. `.ci/deploy` runs these tests without OpenTofu (../check).

variables {
  region     = "eu-central-1"
  key_prefix = "uploads/"
  buckets = {
    "support-uploader" = { name = "example-support-uploader", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-1111-1111-1111-111111111111" }
    "globex"           = { name = "example-globex", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/22222222-2222-2222-2222-222222222222" }
  }
}

run "least_privilege" {
  command = apply

  assert {
    condition     = length(output.gateway) == 1
    error_message = "two buckets need one policy"
  }
  assert {
    condition     = alltrue([for s in jsondecode(output.gateway[0]).Statement : !strcontains(join("", s.Action), "*")])
    error_message = "an action is a wildcard"
  }
  assert {
    condition     = alltrue([for s in jsondecode(output.gateway[0]).Statement : alltrue([for r in s.Resource : !contains(["*", "arn:aws:s3:::*"], r)])])
    error_message = "a resource is everything"
  }
  assert {
    condition     = join(" ", sort(jsondecode(output.gateway[0]).Statement[1].Resource)) == "arn:aws:s3:::example-globex/uploads/* arn:aws:s3:::example-support-uploader/uploads/*"
    error_message = "objects outside the prefix can be accessed"
  }
}

run "a_bucket_denies_and_never_allows" {
  command = apply

  assert {
    condition     = alltrue(flatten([for policy in values(output.bucket) : [for s in jsondecode(policy).Statement : s.Effect == "Deny"]]))
    error_message = "a bucket policy allows something"
  }
  assert {
    condition     = jsondecode(output.bucket["globex"]).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    error_message = "plain HTTP is not denied"
  }
  assert {
    condition     = strcontains(output.bucket["globex"], "22222222-2222-2222-2222-222222222222") && !strcontains(output.bucket["globex"], "11111111-1111-1111-1111-111111111111")
    error_message = "a bucket accepts another bucket's key"
  }
}

run "policies_fit_whatever_the_names" {
  command = apply

  variables {
    buckets = { for n in range(40) : format("partner-%02d", n) => {
      name        = format("%s-%02d", join("", [for i in range(60) : "x"]), n)
      kms_key_arn = "arn:aws:kms:ap-southeast-2:123456789012:key/${format("%08d", n)}-1111-1111-1111-111111111111"
    } }
  }

  assert {
    condition     = alltrue([for policy in output.gateway : length(policy) <= 6144])
    error_message = "a managed policy may have 6,144 characters"
  }
  assert {
    condition     = length(output.gateway) == 4
    error_message = "40 buckets need 4 policies of 12"
  }
}
