# Images of one service. A tag cannot be moved to another image, and tasks name images by digest.

resource "aws_ecr_repository" "this" {
  #checkov:skip=CKV_AWS_136:a key of our own costs $1 a month and a request per call; AWS's own key encrypts as well
  name                 = var.name
  image_tag_mutability = "IMMUTABLE"
  force_delete         = false
  tags                 = merge(var.tags, { Name = var.name })

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "AES256"
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "the newest 30 images"
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 30 }
      action       = { type = "expire" }
    }]
  })
}
