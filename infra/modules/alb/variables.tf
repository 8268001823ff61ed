variable "name" {
  description = "Prefix of the names."
  type        = string
}

variable "bucket_prefix" {
  description = "Prefix of the log bucket's name, unique in all of AWS."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the load balancer."
  type        = string
}

variable "public_subnet_ids" {
  description = "Where it stands when allowed_cidrs names addresses."
  type        = list(string)
}

variable "private_subnet_ids" {
  description = "Where it stands otherwise."
  type        = list(string)
}

variable "tasks_security_group_id" {
  description = "Security group of the tasks behind it."
  type        = string
}

variable "container_port" {
  description = "Port of the tasks."
  type        = number
}

variable "certificate_arn" {
  description = "Certificate of ACM; empty: HTTP alone."
  type        = string
}

variable "allowed_cidrs" {
  description = "Addresses outside the VPC that may reach it, by any names; empty: none."
  type        = map(string)
}

variable "deletion_protection" {
  description = "Whether it refuses to be destroyed."
  type        = bool
}

variable "tags" {
  description = "Tags of everything but the security group."
  type        = map(string)
  default     = {}
}

variable "security_group_tags" {
  description = "Tags of the security group."
  type        = map(string)
  default     = {}
}
