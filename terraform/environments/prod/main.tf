# A cluster. Consul and Nomad are found by their usual environment variables, with tokens that may do all this.

locals {
  root = "${path.module}/../../.."
  kv   = jsondecode(file("${local.root}/consul/kv/prod.json"))
  sums = file(var.sums)

  # As in nomad/vars/prod.hcl.
  values = {
    driver          = "exec"
    environment     = "production"
    count           = "2"
    public_url      = "https://tickets.example.com"
    trusted_proxies = jsonencode(["10.0.0.0/16"])
    limits          = "strict"
    artifacts       = "https://artifacts.example.com/ticketflow"
    namespace       = module.nomad.namespace
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
  acl     = true
  mesh    = false
}

module "nomad" {
  source = "../../modules/nomad"

  namespace = "ticketflow"
  secrets   = module.secrets.values
  variables = var.nomad_variables
  volumes   = var.volumes
}

module "servers" {
  source     = "../../modules/jobs"
  depends_on = [module.consul]

  folder  = "${local.root}/nomad"
  jobs    = ["postgres", "redis", "rabbitmq", "dashboard"]
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

module "services" {
  source     = "../../modules/jobs"
  depends_on = [module.schema]

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
