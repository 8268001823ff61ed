variable "name" {
  description = "Name of the topic."
  type        = string
}

variable "tags" {
  description = "Tags of the topic."
  type        = map(string)
  default     = {}
}
