variable "name" {
  description = "Name of the bucket, unique in all of AWS."
  type        = string
}

variable "keep_versions_days" {
  description = "Days that a replaced or deleted object can still be brought back."
  type        = number
  default     = 7
}

variable "keep_days" {
  description = "Days that an object stays; null: for ever."
  type        = number
  default     = null
}

variable "temporary_prefixes" {
  description = "What is below them is removed after a day: what a crash leaves there."
  type        = list(string)
  default     = []
}

variable "upload_origins" {
  description = "Origins of web pages that may send files to presigned URLs of this bucket."
  type        = list(string)
  default     = []
}

variable "load_balancer_logs_of" {
  description = "The account whose load balancers may write their access logs; empty: none."
  type        = string
  default     = ""
}

variable "tags" {
  description = "Tags of everything in here."
  type        = map(string)
  default     = {}
}
