variable "name" {
  description = "Name of the service, its task family and its roles."
  type        = string
}

variable "region" {
  description = "Region."
  type        = string
}

variable "account_id" {
  description = "Account, for the roles' trust."
  type        = string
}

variable "cluster_arn" {
  description = "ECS cluster."
  type        = string
}

variable "cluster_name" {
  description = "Its name."
  type        = string
}

variable "container_name" {
  description = "Name of the container."
  type        = string
}

variable "repository_url" {
  description = "Registry of the image."
  type        = string
}

variable "repository_arn" {
  description = "The same as an ARN."
  type        = string
}

variable "image_digest" {
  description = "sha256:… of the image; empty: nothing runs yet."
  type        = string
}

variable "command" {
  description = "What the container runs; empty: what its image says."
  type        = list(string)
  default     = []
}

variable "is_job" {
  description = "Whether its tasks are started one by one, and end."
  type        = bool
  default     = false
}

variable "container_port" {
  description = "Port of the program's HTTP; a job has none."
  type        = number
  default     = 0
}

variable "health_path" {
  description = "Path that answers 200 when the program is well; a job has none."
  type        = string
  default     = ""
}

variable "cpu" {
  description = "CPU units; 1024 are one core."
  type        = number
}

variable "memory" {
  description = "MiB."
  type        = number
}

variable "cpu_architecture" {
  description = "ARM64 or X86_64."
  type        = string
}

variable "environment" {
  description = "Settings that are no secrets."
  type        = map(string)
}

variable "secret_name" {
  description = "Secret whose keys the program reads as settings."
  type        = string
}

variable "secret_arn" {
  description = "The same as an ARN."
  type        = string
}

variable "task_policy" {
  description = "IAM policy document of what the program may do, as JSON."
  type        = string
}

variable "subnet_ids" {
  description = "Where tasks run."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the tasks."
  type        = string
}

variable "assign_public_ip" {
  description = "Whether tasks get an address of their own."
  type        = bool
}

variable "target_group_arn" {
  description = "Load balancer's target group; empty: none."
  type        = string
  default     = ""
}

variable "desired_count" {
  description = "Tasks at first."
  type        = number
}

variable "minimum_healthy_percent" {
  description = "Of the tasks, during a deployment."
  type        = number
}

variable "maximum_percent" {
  description = "Of the tasks, during a deployment."
  type        = number
}

variable "enable_execute_command" {
  description = "Whether operators may open a shell in a task."
  type        = bool
  default     = true
}

variable "min_capacity" {
  description = "Tasks at least, where it scales."
  type        = number
  default     = 1
}

variable "max_capacity" {
  description = "Tasks at most; 0: it does not scale."
  type        = number
  default     = 0
}

variable "cpu_threshold" {
  description = "Percent of CPU that scaling aims at."
  type        = number
  default     = 75
}

variable "memory_threshold" {
  description = "Percent of memory that scaling aims at."
  type        = number
  default     = 75
}

variable "backlog_queue_name" {
  description = "Queue whose length scales the service; empty: none."
  type        = string
  default     = ""
}

variable "backlog_per_task" {
  description = "Requests that may wait for each task."
  type        = number
  default     = 10
}

variable "tags" {
  description = "Tags of task and service."
  type        = map(string)
  default     = {}
}

variable "log_tags" {
  description = "Tags of the log group."
  type        = map(string)
  default     = {}
}

variable "iam_tags" {
  description = "Tags of the roles."
  type        = map(string)
  default     = {}
}
