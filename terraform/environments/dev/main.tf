# One machine with the development agents of Consul and Nomad; both are found by their usual environment variables.

locals {
  root = "${path.module}/../../.."
  kv   = jsondecode(file("${local.root}/consul/kv/dev.json"))
  sums = file(var.sums)

  # As in nomad/vars/dev.hcl.
  values = {
    driver          = "raw_exec"
    environment     = "development"
    count           = "1"
    public_url      = "http://localhost:8080"
    trusted_proxies = jsonencode(["127.0.0.0/8"])
    limits          = "open"
    artifacts       = "http://127.0.0.1:8888"
  }
}

module "secrets" {
  source = "../../modules/secrets"
}

module "consul" {
  source = "../../modules/consul"

  secrets = module.secrets.values
  servers = local.kv.servers
  config  = local.kv.config
  folder  = "${local.root}/consul"
  acl     = false
  mesh    = false
}

module "servers" {
  source     = "../../modules/jobs"
  depends_on = [module.consul]

  folder  = "${local.root}/nomad"
  jobs    = ["postgres", "redis", "rabbitmq", "dashboard", "mailbox"]
  values  = local.values
  release = var.release
  sums    = local.sums
}

module "schema" {
  source     = "../../modules/jobs"
  depends_on = [module.servers]

  folder  = "${local.root}/nomad"
  jobs    = ["migrate"]
  values  = local.values
  release = var.release
  sums    = local.sums
}

module "demo" {
  source     = "../../modules/jobs"
  depends_on = [module.schema]

  folder  = "${local.root}/nomad"
  jobs    = ["seed"]
  values  = local.values
  release = var.release
  sums    = local.sums
}

module "services" {
  source     = "../../modules/jobs"
  depends_on = [module.demo]

  folder  = "${local.root}/nomad"
  jobs    = ["payments", "catalog", "identity", "ordering", "notifications", "gateway"]
  values  = local.values
  release = var.release
  sums    = local.sums
}

module "edge" {
  source     = "../../modules/jobs"
  depends_on = [module.services]

  folder  = "${local.root}/nomad"
  jobs    = ["ingress", "backup"]
  values  = local.values
  release = var.release
  sums    = local.sums
}
