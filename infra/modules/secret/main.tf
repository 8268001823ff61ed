# One JSON secret whose keys a service reads as settings (AWS_SECRET_NAME). Its text is a write-only argument: it is sent
# to AWS and is in no state and no plan. A new text needs a new `text_version`.

resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV_AWS_149:a key of our own costs $1 a month and a request per call; AWS's own key encrypts as well
  #checkov:skip=CKV2_AWS_57:Discord and Google rotate no key by an API
  name                    = var.name
  description             = var.description
  recovery_window_in_days = 7
  tags                    = merge(var.tags, { Name = var.name })
}

resource "aws_secretsmanager_secret_version" "this" {
  secret_id                = aws_secretsmanager_secret.this.id
  secret_string_wo         = var.text
  secret_string_wo_version = var.text_version
}
