variable "secrets" {
  description = "Passwords and signing keys by name"
  type        = map(string)
  sensitive   = true
}

variable "servers" {
  description = "host:port of postgres, redis and rabbitmq"
  type        = map(string)
}

variable "config" {
  description = "Settings by service and by the environment's name for them"
  type        = map(map(string))
}

variable "folder" {
  description = "Where policies/, queries/ and intentions.json are"
  type        = string
}

variable "acl" {
  description = "Whether Consul has ACLs: then there are policies, and tokens for those that look for others"
  type        = bool
}

variable "mesh" {
  description = "Whether services call each other through sidecars: then only who is named in intentions.json may"
  type        = bool
}
