# One machine with the development agents of Consul and Nomad; both are found by their usual environment variables.

locals {
  root = "${path.module}/../../.."
  kv   = jsondecode(file("${local.root}/consul/kv/dev.json"))

  # As in nomad/vars/dev.hcl.
  values = {
    driver          = "raw_exec"
    environment     = "development"
    count           = "1"
    public_url      = "http://localhost:8080"
    trusted_proxies = jsonencode(["127.0.0.0/8"])
    limits          = "open"
    release         = var.release
    home            = var.home
  }
}

module "consul" {
  source = "../../modules/consul"

  servers  = local.kv.servers
  config   = local.kv.config
  policies = "${local.root}/consul/policies"
  acl      = false
}

module "servers" {
  source     = "../../modules/jobs"
  depends_on = [module.consul]

  folder = "${local.root}/nomad"
  jobs   = ["postgres", "redis", "rabbitmq", "mailbox"]
  values = local.values
}

module "schema" {
  source     = "../../modules/jobs"
  depends_on = [module.servers]

  folder = "${local.root}/nomad"
  jobs   = ["migrate"]
  values = local.values
}

module "demo" {
  source     = "../../modules/jobs"
  depends_on = [module.schema]

  folder = "${local.root}/nomad"
  jobs   = ["seed"]
  values = local.values
}

module "services" {
  source     = "../../modules/jobs"
  depends_on = [module.demo]

  folder = "${local.root}/nomad"
  jobs   = ["payments", "catalog", "identity", "ordering", "notifications", "gateway"]
  values = local.values
}

module "edge" {
  source     = "../../modules/jobs"
  depends_on = [module.services]

  folder = "${local.root}/nomad"
  jobs   = ["ingress", "backup"]
  values = local.values
}
