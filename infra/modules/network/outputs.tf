output "vpc_id" {
  value = aws_vpc.this.id
}

output "vpc_cidr" {
  value = aws_vpc.this.cidr_block
}

output "public_subnet_ids" {
  value = aws_subnet.public[*].id
}

output "private_subnet_ids" {
  value = aws_subnet.private[*].id
}

output "task_subnet_ids" {
  description = "Where tasks run."
  value       = var.egress == "public" ? aws_subnet.public[*].id : aws_subnet.private[*].id
}

output "assign_public_ip" {
  description = "Whether tasks need an address of their own."
  value       = var.egress == "public"
}

output "nat_cidrs" {
  description = "The addresses that tasks come from, seen from outside; empty unless egress is nat."
  value       = [for ip in aws_eip.nat[*].public_ip : "${ip}/32"]
}
