variable "name" {
  description = "Prefix of the alarms' names."
  type        = string
}

variable "topic_arn" {
  description = "SNS topic that hears of alarms; empty: none."
  type        = string
  default     = ""
}

variable "queue_name" {
  description = "Queue of the requests."
  type        = string
}

variable "dead_letter_names" {
  description = "Queues of dead letters."
  type        = list(string)
}

variable "load_balancer" {
  description = "ARN suffix of the load balancer."
  type        = string
}

variable "target_group" {
  description = "ARN suffix of its target group."
  type        = string
}

variable "tags" {
  description = "Tags of the alarms."
  type        = map(string)
  default     = {}
}
