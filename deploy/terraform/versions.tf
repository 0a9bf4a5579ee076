# For OpenTofu or Terraform. The state contains no secrets: the gateway uses a role, or keys created elsewhere.
terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80, < 7.0"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { application = "weighbridge" }
  }
}
