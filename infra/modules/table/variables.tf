variable "name" {
  description = "Name of the table."
  type        = string
}

variable "indexes" {
  description = "Global secondary indexes by name: the attributes that are their hash and range key, of strings."
  type        = map(object({ hash_key = string, range_key = string }))
}

variable "deletion_protection" {
  description = "Whether the table refuses to be destroyed."
  type        = bool
}

variable "tags" {
  description = "Tags of the table."
  type        = map(string)
  default     = {}
}
