terraform {
  # 1.11: write-only arguments keep secrets out of the state.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }

  backend "s3" {
    bucket  = "song-download-tf-state"
    key     = "music-bot/terraform.tfstate"
    region  = "us-east-1"
    encrypt = true
    # A lock file beside the state, in place of the table terraform_lock_table_music_bot of older set-ups.
    use_lockfile = true
  }
}

provider "aws" {
  region = var.aws_region

  default_tags {
    tags = {
      Project = local.audio.name
      Part    = "bot"
    }
  }
}
