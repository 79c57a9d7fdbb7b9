variable "release" {
  description = "Release to deploy"
  type        = string
}

variable "sums" {
  description = "The file of checksums that `make dist` has written"
  type        = string
  default     = "../../../dist/SHA256SUMS"
}
