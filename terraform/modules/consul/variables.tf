variable "servers" {
  description = "host:port of postgres, redis and rabbitmq"
  type        = map(string)
}

variable "config" {
  description = "Settings by service and by the environment's name for them"
  type        = map(map(string))
}

variable "policies" {
  description = "Folder of the ACL policies, one file each"
  type        = string
}

variable "acl" {
  description = "Whether Consul has ACLs: then there are policies, and tokens for those that look for others"
  type        = bool
}
