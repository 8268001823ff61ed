variable "name" {
  description = "Name of the repository."
  type        = string
}

variable "tags" {
  description = "Tags of the repository."
  type        = map(string)
  default     = {}
}
