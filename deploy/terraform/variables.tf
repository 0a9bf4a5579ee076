variable "region" {
  description = "Region of every bucket. Use the same in `region` in the gateway's configuration."
  type        = string
}

variable "name_prefix" {
  description = "Prefix of every bucket's name, because bucket names are global: `example` gives `example-support-uploader` and `example-PARTNER`."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,30}$", var.name_prefix))
    error_message = "Use 2 to 31 lower-case letters, digits and `-`."
  }
}

variable "key_prefix" {
  description = "Prefix of every key, as `prefix` in the gateway's configuration. Empty, or ending in `/`. The gateway's role cannot access other keys."
  type        = string
  default     = "uploads/"

  validation {
    condition     = var.key_prefix == "" || endswith(var.key_prefix, "/")
    error_message = "End it in `/`, or leave it empty."
  }
}

variable "partners" {
  description = "Partners with their own bucket, by short name as in `[partners.NAME]`. All others share the Support Uploader bucket."
  type = map(object({
    # Days during which a removed file can be restored. 0: removed files are gone.
    keep_removed_days = optional(number, 0)
  }))
  default = {}

  validation {
    condition     = alltrue([for id in keys(var.partners) : can(regex("^[a-z0-9-]{1,31}$", id)) && id != "support-uploader"])
    error_message = "Use 1 to 31 lower-case letters, digits and `-`, and not `support-uploader`."
  }
}

variable "support_uploader_keep_removed_days" {
  description = "Days during which a removed file in the shared bucket can be restored. 0: removed files are gone."
  type        = number
  default     = 0
}

variable "gateway_role_name" {
  description = "Role of the gateway (of its instance profile or service account). If null, attach the policies by hand."
  type        = string
  default     = null
}
