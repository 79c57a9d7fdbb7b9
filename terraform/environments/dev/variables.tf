variable "release" {
  description = "Release to deploy"
  type        = string
}

variable "home" {
  description = "The release's code with its .venv, on the nodes or in the image"
  type        = string
  default     = "/opt/ticketflow"
}
