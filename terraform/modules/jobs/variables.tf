variable "folder" {
  description = "Where <job>.nomad.hcl are"
  type        = string
}

variable "jobs" {
  description = "Names of the jobs, which may start in any order"
  type        = set(string)
}

variable "values" {
  description = "Variables for the jobs; each gets those that it declares"
  type        = map(string)
}
