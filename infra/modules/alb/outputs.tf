output "dns_name" {
  value = aws_lb.this.dns_name
}

output "security_group_id" {
  value = aws_security_group.this.id
}

output "port" {
  value = local.port
}

output "url" {
  description = "What AUDIO_PROCESSOR_URL is for the bot. With a certificate, use a name that the certificate knows."
  value       = "${local.tls ? "https" : "http"}://${aws_lb.this.dns_name}"
}

output "target_group_arn" {
  value = aws_lb_target_group.this.arn
  # A service may join the group only when a listener uses it.
  depends_on = [aws_lb_listener.http, aws_lb_listener.https]
}

output "arn_suffix" {
  value = aws_lb.this.arn_suffix
}

output "target_group_arn_suffix" {
  value = aws_lb_target_group.this.arn_suffix
}

output "internal" {
  value = local.internal
}

output "allowed_cidrs" {
  value = [for rule in aws_vpc_security_group_ingress_rule.cidrs : rule.cidr_ipv4]
}
