variable "name" {
  description = "Name of the secret."
  type        = string
}

variable "description" {
  description = "What is in it."
  type        = string
}

variable "text" {
  description = "A JSON object of settings."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "text_version" {
  description = "Raise it when the text changes: the text itself is compared with nothing."
  type        = number
}

variable "tags" {
  description = "Tags of the secret."
  type        = map(string)
  default     = {}
}
