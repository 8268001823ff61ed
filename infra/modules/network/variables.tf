variable "name" {
  description = "Prefix of the names."
  type        = string
}

variable "region" {
  description = "Region, for the names of AWS's endpoints."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC, a /16."
  type        = string
  default     = "10.0.0.0/16"
}

variable "egress" {
  description = "How tasks reach the world: public, nat or endpoints."
  type        = string
}

variable "tags" {
  description = "Tags of everything in here."
  type        = map(string)
  default     = {}
}
