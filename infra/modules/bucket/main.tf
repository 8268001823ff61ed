# A private bucket: versioned, encrypted, over TLS alone. Below `temporary_prefixes` everything is removed after a day.

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:songs are public media and logs are logs; who read one is of no use, and each line costs storage
  #checkov:skip=CKV_AWS_144:a song that is lost is downloaded again
  #checkov:skip=CKV_AWS_145:a key of our own costs $1 a month and a request per call, and load balancers cannot write with it
  #checkov:skip=CKV2_AWS_62:workers learn of songs by the queue
  bucket = var.name
  tags   = merge(var.tags, { Name = var.name })
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket     = aws_s3_bucket.this.id
  depends_on = [aws_s3_bucket_versioning.this]

  rule {
    id     = "incomplete-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  dynamic "rule" {
    for_each = toset(var.temporary_prefixes)
    content {
      id     = trimsuffix(rule.value, "/")
      status = "Enabled"
      filter {
        prefix = rule.value
      }
      expiration {
        days = 1
      }
      noncurrent_version_expiration {
        noncurrent_days = 1
      }
    }
  }

  # What was replaced or deleted: its old version, kept for a mistake, costs storage.
  rule {
    id     = "old-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = var.keep_versions_days
    }
    expiration {
      days                         = var.keep_days
      expired_object_delete_marker = var.keep_days == null ? true : null
    }
  }
}

# A browser asks first whether a page of this origin may send a file with these headers.
resource "aws_s3_bucket_cors_configuration" "this" {
  count  = length(var.upload_origins) == 0 ? 0 : 1
  bucket = aws_s3_bucket.this.id
  cors_rule {
    allowed_origins = var.upload_origins
    allowed_methods = ["PUT"]
    allowed_headers = ["content-type", "if-none-match"]
    max_age_seconds = 600
  }
}

data "aws_iam_policy_document" "access" {
  statement {
    sid       = "RefuseClearText"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  dynamic "statement" {
    for_each = var.load_balancer_logs_of == "" ? [] : [var.load_balancer_logs_of]
    content {
      sid       = "LetLoadBalancersWrite"
      actions   = ["s3:PutObject"]
      resources = ["${aws_s3_bucket.this.arn}/AWSLogs/${statement.value}/*"]
      principals {
        type        = "Service"
        identifiers = ["logdelivery.elasticloadbalancing.amazonaws.com"]
      }
    }
  }
}

resource "aws_s3_bucket_policy" "access" {
  bucket     = aws_s3_bucket.this.id
  policy     = data.aws_iam_policy_document.access.json
  depends_on = [aws_s3_bucket_public_access_block.this]
}
