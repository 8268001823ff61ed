variable "aws_region" {
  description = "Region of everything."
  type        = string
  default     = "us-east-1"
}

variable "project_name" {
  description = "First part of all names."
  type        = string
  default     = "butakero"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}$", var.project_name))
    error_message = "2 to 21 characters: lower-case letters, digits, hyphens, a letter first."
  }
}

variable "environment" {
  description = "Last part of the names, and what /api/v1/health shows."
  type        = string
  default     = "prod"
}

variable "gin_mode" {
  description = "Setting of older programs: accepted, and read by none of ours."
  type        = string
  default     = ""
}

variable "oauth2_enabled" {
  description = "Setting of older programs: accepted, and read by none of ours."
  type        = string
  default     = ""
}

variable "service_max_attempts" {
  description = "Tries of one song."
  type        = number
  default     = 3
}

variable "service_timeout" {
  description = "Minutes that one song may take."
  type        = number
  default     = 10
}

variable "workers_count" {
  description = "Songs at the same time in one task."
  type        = number
  default     = 2
}

variable "youtube_api_key" {
  description = "Key of the YouTube Data API; empty: YouTube is searched without it. In no state."
  type        = string
  default     = ""
  sensitive   = true
  ephemeral   = true
}

variable "secret_name" {
  description = "Secret of the audio service."
  type        = string
  default     = "butakero-audio-service"
}

variable "secret_version" {
  description = "Raise it when youtube_api_key changes."
  type        = number
  default     = 1
}

variable "container_port" {
  description = "Port of the audio service."
  type        = number
  default     = 8080
}

variable "image_digest" {
  description = "sha256:… of the pushed image; empty: nothing runs yet."
  type        = string
  default     = ""

  validation {
    condition     = var.image_digest == "" || can(regex("^sha256:[0-9a-f]{64}$", var.image_digest))
    error_message = "sha256: and 64 hexadecimal digits, as docker push prints it."
  }
}

variable "cpu_architecture" {
  description = "ARM64 or X86_64, as the image was built."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.cpu_architecture)
    error_message = "ARM64 or X86_64."
  }
}

variable "ecs_service_desired_count" {
  description = "Tasks at first."
  type        = number
  default     = 1
}

variable "ecs_task_cpu" {
  description = "CPU units of a task; 1024 are one core."
  type        = number
  default     = 512
}

variable "ecs_task_memory" {
  description = "Memory of a task in MiB."
  type        = number
  default     = 1024
}

variable "ecs_min_capacity" {
  description = "Tasks at least."
  type        = number
  default     = 1
}

variable "ecs_max_capacity" {
  description = "Tasks at most."
  type        = number
  default     = 10
}

variable "ecs_cpu_threshold" {
  description = "Percent of CPU that scaling aims at."
  type        = number
  default     = 75
}

variable "ecs_memory_threshold" {
  description = "Percent of memory that scaling aims at."
  type        = number
  default     = 75
}

variable "task_egress" {
  description = "How tasks reach the world: public (an address of their own), nat, or endpoints (AWS alone)."
  type        = string
  default     = "public"

  validation {
    condition     = contains(["public", "nat", "endpoints"], var.task_egress)
    error_message = "public, nat or endpoints."
  }
}

variable "allowed_cidrs" {
  description = "Addresses outside that may reach the load balancer; empty: it is internal, for the bot alone."
  type        = list(string)
  default     = []

  validation {
    condition     = !contains(var.allowed_cidrs, "0.0.0.0/0")
    error_message = "name addresses: the API has no rate limit against the whole world."
  }

  validation {
    condition     = length(var.allowed_cidrs) == 0 || var.task_egress == "nat"
    error_message = "with task_egress other than nat the bot has no fixed address from which it could reach an outside load balancer."
  }
}

variable "certificate_arn" {
  description = "Certificate of ACM for the load balancer; empty: HTTP alone, inside the VPC."
  type        = string
  default     = ""

  validation {
    condition     = var.certificate_arn != "" || length(var.allowed_cidrs) == 0
    error_message = "a load balancer that outside addresses reach needs a certificate."
  }
}

variable "deletion_protection" {
  description = "Whether table and load balancer refuse to be destroyed."
  type        = bool
  default     = true
}

variable "legacy_status_queue" {
  description = "Whether statuses go to the one status queue of older bots, too."
  type        = bool
  default     = false
}

variable "alarm_topic_arn" {
  description = "SNS topic that hears of alarms; empty: they are shown alone."
  type        = string
  default     = ""
}

variable "alb_tags" {
  description = "Tags, by the kind of resource that the name says."
  type        = map(string)
  default     = {}
}

variable "ecs_tags" {
  description = "Tags, by the kind of resource that the name says."
  type        = map(string)
  default     = {}
}

variable "storage_s3_tags" {
  description = "Tags, by the kind of resource that the name says."
  type        = map(string)
  default     = {}
}

variable "dynamodb_table_operations_tags" {
  description = "Tags, by the kind of resource that the name says."
  type        = map(string)
  default     = {}
}

variable "dynamodb_table_songs_tag" {
  description = "Tags, by the kind of resource that the name says."
  type        = map(string)
  default     = {}
}

variable "sqs_queue_tag" {
  description = "Tags, by the kind of resource that the name says."
  type        = map(string)
  default     = {}
}

variable "ecr_tags" {
  description = "Tags, by the kind of resource that the name says."
  type        = map(string)
  default     = {}
}

variable "networking_tags" {
  description = "Tags, by the kind of resource that the name says."
  type        = map(string)
  default     = {}
}

variable "cloudwatch_tags" {
  description = "Tags, by the kind of resource that the name says."
  type        = map(string)
  default     = {}
}

variable "iam_tags" {
  description = "Tags, by the kind of resource that the name says."
  type        = map(string)
  default     = {}
}

variable "security_group_tags" {
  description = "Tags, by the kind of resource that the name says."
  type        = map(string)
  default     = {}
}

variable "sm_tags" {
  description = "Tags, by the kind of resource that the name says."
  type        = map(string)
  default     = {}
}

variable "transcode_jobs" {
  description = "Whether an .m4a that is put under audio_input_raw/ becomes a song, by a function and a task of its own."
  type        = bool
  default     = false
}

variable "uploads" {
  description = "Whether people send audio messages (docs/uploads.md): a queue and a topic more."
  type        = bool
  default     = false
}

variable "upload_origins" {
  description = "Origins of the pages that send them, such as https://music.example."
  type        = list(string)
  default     = []
}

variable "lambda_package" {
  description = "The function's package for the architecture of cpu_architecture, from `make lambda`."
  type        = string
  default     = "../../../dist/lambda-arm64.zip"
}

variable "lambda_runtime" {
  description = "Lambda's runtime: of the Python that ran `make lambda`."
  type        = string
  default     = "python3.11"
}
