variable "aws_region" {
  description = "Region of everything, the audio service's too."
  type        = string
  default     = "us-east-1"
}

variable "discord_token" {
  description = "The bot's token. In no state."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "command_prefix" {
  description = "Name of the root slash command."
  type        = string
  default     = "music"
  sensitive   = true
  ephemeral   = true
}

variable "container_port" {
  description = "Port of the bot's health answers."
  type        = number
  default     = 8081
}

variable "secret_name" {
  description = "Secret of the bot: one of its own."
  type        = string
  default     = "butakero-bot"
}

variable "secret_version" {
  description = "Raise it when discord_token or command_prefix changes."
  type        = number
  default     = 1
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

variable "deletion_protection" {
  description = "Whether the table refuses to be destroyed."
  type        = bool
  default     = true
}

variable "audio_state_bucket" {
  description = "Bucket of the audio stack's state."
  type        = string
  default     = "song-download-tf-state"
}

variable "audio_state_key" {
  description = "Key of the audio stack's state."
  type        = string
  default     = "prod/terraform.tfstate"
}

variable "audio_state_region" {
  description = "Region of the bucket of the audio stack's state."
  type        = string
  default     = "us-east-1"
}
