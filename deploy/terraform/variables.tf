variable "region" {
  description = "Region of every bucket, as `region` in the gateway's configuration."
  type        = string
}

variable "name_prefix" {
  description = "Put before every bucket's name, since these are shared with the whole world: `example` gives `example-support-uploader` and `example-PARTNER`."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,30}$", var.name_prefix))
    error_message = "Use 2 to 31 lower-case letters, digits and `-`."
  }
}

variable "key_prefix" {
  description = "Put before every key, as `prefix` in the gateway's configuration; empty, or ending in `/`. The gateway's role reaches nothing else."
  type        = string
  default     = "uploads/"

  validation {
    condition     = var.key_prefix == "" || endswith(var.key_prefix, "/")
    error_message = "End it in `/`, or leave it empty."
  }
}

variable "partners" {
  description = "Partners with a bucket of their own, by short name as in `[partners.NAME]`. All others share the Support Uploader bucket."
  type = map(object({
    # Days for which a removed file can be brought back; 0: what is removed is gone.
    keep_removed_days = optional(number, 0)
  }))
  default = {}

  validation {
    condition     = alltrue([for id in keys(var.partners) : can(regex("^[a-z0-9-]{1,31}$", id)) && id != "support-uploader"])
    error_message = "Use 1 to 31 lower-case letters, digits and `-`, and not `support-uploader`."
  }
}

variable "support_uploader_keep_removed_days" {
  description = "The same for the shared bucket."
  type        = number
  default     = 0
}

variable "gateway_role_name" {
  description = "Role that the gateway runs as (instance profile, or the service account's). Null: attach the policies by hand."
  type        = string
  default     = null
}
