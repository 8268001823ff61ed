# A topic that fans out: each instance that listens subscribes a queue of its own.

resource "aws_sns_topic" "this" {
  name              = var.name
  kms_master_key_id = "alias/aws/sns"
  tags              = merge(var.tags, { Name = var.name })
}
