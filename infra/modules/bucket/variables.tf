variable "name" {
  description = "Name of the bucket, unique in all of AWS."
  type        = string
}

variable "keep_versions_days" {
  description = "Days that a replaced or deleted object can still be brought back."
  type        = number
  default     = 7
}

variable "tags" {
  description = "Tags of everything in here."
  type        = map(string)
  default     = {}
}
