# Copy to terraform.tfvars. What is not here has a default in variables.tf.
aws_region   = "us-east-1"
project_name = "butakero"
environment  = "prod"

youtube_api_key = ""
secret_name     = "butakero-audio-service"
secret_version  = 1

# After the first apply: push the image to the registry it made, then put its digest here and apply again.
image_digest     = ""
cpu_architecture = "ARM64"

service_max_attempts = 3
service_timeout      = 10
workers_count        = 2
container_port       = 8080

ecs_service_desired_count = 1
ecs_task_cpu              = 512
ecs_task_memory           = 1024
ecs_min_capacity          = 1
ecs_max_capacity          = 10
ecs_cpu_threshold         = 75
ecs_memory_threshold      = 75

# public: an address for each task, the cheapest. nat: one address, the dearest. endpoints: AWS alone.
task_egress     = "public"
allowed_cidrs   = []
certificate_arn = ""
