variable "namespace" {
  description = "Namespace that the jobs run in"
  type        = string
}

variable "secrets" {
  description = "Passwords and signing keys by name"
  type        = map(string)
  sensitive   = true
}

variable "variables" {
  description = "Whether the secrets stand in Nomad variables, too; needs Nomad 1.4"
  type        = bool
}

variable "volumes" {
  description = "Size and owner (the account's id on the node) of each disk by the job that it is for; none where nodes declare them; needs Nomad 1.10"
  type        = map(object({ size = string, owner = number }))
}
