# A cluster. Consul and Nomad are found by their usual environment variables, with tokens that may do all this.

locals {
  root = "${path.module}/../../.."
  kv   = jsondecode(file("${local.root}/consul/kv/prod.json"))

  # As in nomad/vars/prod.hcl.
  values = {
    driver          = "exec"
    environment     = "production"
    count           = "2"
    public_url      = "https://tickets.example.com"
    trusted_proxies = jsonencode(["10.0.0.0/16"])
    limits          = "strict"
    release         = var.release
    home            = var.home
    namespace       = module.nomad.namespace
  }
}

module "consul" {
  source = "../../modules/consul"

  servers  = local.kv.servers
  config   = local.kv.config
  policies = "${local.root}/consul/policies"
  acl      = true
}

module "nomad" {
  source = "../../modules/nomad"

  namespace = "ticketflow"
}

module "servers" {
  source     = "../../modules/jobs"
  depends_on = [module.consul]

  folder = "${local.root}/nomad"
  jobs   = ["postgres", "redis", "rabbitmq"]
  values = local.values
}

module "schema" {
  source     = "../../modules/jobs"
  depends_on = [module.servers]

  folder = "${local.root}/nomad"
  jobs   = ["migrate"]
  values = local.values
}

module "services" {
  source     = "../../modules/jobs"
  depends_on = [module.schema]

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
