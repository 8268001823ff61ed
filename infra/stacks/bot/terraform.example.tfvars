# Copy to terraform.tfvars, and keep it out of version control: the token is a secret.
aws_region     = "us-east-1"
discord_token  = "put-the-token-here"
command_prefix = "music"
container_port = 8081

secret_version = 1
image_digest   = ""
