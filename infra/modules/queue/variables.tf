variable "name" {
  description = "Name of the queue; its dead-letter queue ends in -dlq."
  type        = string
}

variable "retention_seconds" {
  description = "How long an unread message is kept."
  type        = number
  default     = 604800
}

variable "visibility_seconds" {
  description = "How long a message that was received is hidden. Workers extend it while they work."
  type        = number
  default     = 30
}

variable "max_receives" {
  description = "Receives after which the net below the services takes a message out. Above SERVICE_MAX_ATTEMPTS and what hand-overs add."
  type        = number
  default     = 100
}

variable "topic_arn" {
  description = "The SNS topic that may send to this queue; empty: none."
  type        = string
  default     = ""
}

variable "subscribed" {
  description = "Whether the queue is subscribed to topic_arn."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of everything in here."
  type        = map(string)
  default     = {}
}
