# One table with PK and SK, and indexes over pairs of attributes. It is paid by request, encrypted, and can be brought
# back to any second of the last 35 days.

resource "aws_dynamodb_table" "this" {
  #checkov:skip=CKV_AWS_119:a key of our own costs $1 a month and a request per call; AWS's own key encrypts as well
  name                        = var.name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "PK"
  range_key                   = "SK"
  deletion_protection_enabled = var.deletion_protection
  tags                        = merge(var.tags, { Name = var.name })

  dynamic "attribute" {
    for_each = toset(concat(["PK", "SK"], flatten([for keys in values(var.indexes) : [keys.hash_key, keys.range_key]])))
    content {
      name = attribute.value
      type = "S"
    }
  }

  dynamic "global_secondary_index" {
    for_each = var.indexes
    content {
      name            = global_secondary_index.key
      hash_key        = global_secondary_index.value.hash_key
      range_key       = global_secondary_index.value.range_key
      projection_type = "ALL"
    }
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  # With AWS's own key: a key of ours costs $1 a month and a request per call.
  server_side_encryption {
    enabled = true
  }
}

# What a program needs that reads and writes the table and makes nothing.
data "aws_iam_policy_document" "use" {
  statement {
    sid = "UseTheTable"
    actions = [
      "dynamodb:BatchGetItem",
      "dynamodb:BatchWriteItem",
      "dynamodb:ConditionCheckItem",
      "dynamodb:DeleteItem",
      "dynamodb:DescribeTable",
      "dynamodb:DescribeTimeToLive",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
      "dynamodb:UpdateItem",
    ]
    resources = [aws_dynamodb_table.this.arn, "${aws_dynamodb_table.this.arn}/index/*"]
  }
}
