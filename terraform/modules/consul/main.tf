# What the jobs read from Consul, and who may. The secrets are made here, so the state holds them: keep it in a
# backend that encrypts. `terraform apply -replace='module.consul.random_password.secret["csrf"]'` rotates one.

locals {
  secrets = toset([
    "csrf",
    "database/catalog",
    "database/identity",
    "database/ordering",
    "database/postgres",
    "jwt",
    "payments-api-key",
    "rabbitmq",
    "redis",
    "service-token",
  ])
  config = merge([
    for service, settings in var.config : { for key, value in settings : "${service}/${key}" => value }
  ]...)
  policies = var.acl ? toset([for file in fileset(var.policies, "*.hcl") : trimsuffix(file, ".hcl")]) : toset([])
  callers  = var.acl ? toset(["gateway", "ordering"]) : toset([])
}

resource "random_password" "secret" {
  for_each = local.secrets

  length  = 64
  special = false # nothing that a URL or SQL would need to quote
}

resource "consul_keys" "secret" {
  for_each = local.secrets

  key {
    path  = "ticketflow/secrets/${each.key}"
    value = random_password.secret[each.key].result
  }
}

resource "consul_keys" "server" {
  for_each = var.servers

  key {
    path  = "ticketflow/servers/${each.key}"
    value = each.value
  }
}

resource "consul_keys" "config" {
  for_each = local.config

  key {
    path  = "ticketflow/config/${each.key}"
    value = each.value
  }
}

resource "consul_acl_policy" "this" {
  for_each = local.policies

  name  = "ticketflow-${each.key}"
  rules = file("${var.policies}/${each.key}.hcl")
}

resource "consul_acl_token" "caller" {
  for_each = local.callers

  description = "${each.key} of the ticket shop, to find those that it calls"
  policies    = [consul_acl_policy.this[each.key].name]
}

data "consul_acl_token_secret_id" "caller" {
  for_each = local.callers

  accessor_id = consul_acl_token.caller[each.key].id
}

resource "consul_keys" "token" {
  for_each = local.callers

  key {
    path  = "ticketflow/secrets/consul/${each.key}"
    value = data.consul_acl_token_secret_id.caller[each.key].secret_id
  }
}
