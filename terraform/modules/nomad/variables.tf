variable "namespace" {
  description = "Namespace that the jobs run in"
  type        = string
}
