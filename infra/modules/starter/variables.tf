variable "name" {
  description = "Name of the function and its role."
  type        = string
}

variable "account_id" {
  description = "Account, for the bucket's right to call it."
  type        = string
}

variable "package" {
  description = "Path of the package for Lambda."
  type        = string
}

variable "runtime" {
  description = "Lambda's runtime, of the Python that made the package."
  type        = string
}

variable "cpu_architecture" {
  description = "ARM64 or X86_64, as the package."
  type        = string
}

variable "environment" {
  description = "Settings of the function."
  type        = map(string)
}

variable "policy" {
  description = "IAM policy document of what it does in store, table and topics, as JSON."
  type        = string
}

variable "secret_arn" {
  description = "Secret whose keys it reads as settings."
  type        = string
}

variable "bucket_name" {
  description = "Bucket that objects arrive in."
  type        = string
}

variable "bucket_arn" {
  description = "The same as an ARN."
  type        = string
}

variable "cluster_arn" {
  description = "ECS cluster of the tasks."
  type        = string
}

variable "task_definition_arn" {
  description = "Task that it starts."
  type        = string
}

variable "task_role_arns" {
  description = "Roles of the task."
  type        = list(string)
}

variable "tags" {
  description = "Tags of function, queue and rule."
  type        = map(string)
  default     = {}
}

variable "log_tags" {
  description = "Tags of the log group."
  type        = map(string)
  default     = {}
}

variable "iam_tags" {
  description = "Tags of the role."
  type        = map(string)
  default     = {}
}
