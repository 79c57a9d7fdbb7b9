variable "folder" {
  description = "Where <job>.nomad.hcl are"
  type        = string
}

variable "jobs" {
  description = "Names of the jobs"
  type        = set(string)
}

variable "values" {
  description = "Variables for the jobs; each gets those that it declares"
  type        = map(string)
}

variable "release" {
  description = "Release to deploy"
  type        = string
}

variable "sums" {
  description = "Text of the file of checksums that `make dist` has written"
  type        = string
}
