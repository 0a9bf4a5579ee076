# OpenTofu or Terraform. State holds no secret: the gateway has a role, or keys made elsewhere.
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
