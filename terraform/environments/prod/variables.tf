variable "release" {
  description = "Release to deploy"
  type        = string
}

variable "sums" {
  description = "The file of checksums that `make dist` has written"
  type        = string
  default     = "../../../dist/SHA256SUMS"
}

variable "nomad_variables" {
  description = "Whether the secrets stand in Nomad variables, too; needs Nomad 1.4"
  type        = bool
  default     = false
}

variable "volumes" {
  description = "Size and owner (the account's id on the node) of each disk by the job that it is for; none where nodes declare them; needs Nomad 1.10"
  type        = map(object({ size = string, owner = number }))
  default     = {}
}
