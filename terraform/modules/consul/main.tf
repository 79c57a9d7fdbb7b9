# What the jobs read from Consul, who may, how services are found by DNS, and who may call whom through the mesh.

locals {
  config = merge([
    for service, settings in var.config : { for key, value in settings : "${service}/${key}" => value }
  ]...)
  policies   = var.acl ? toset([for file in fileset(var.folder, "policies/*.hcl") : trimsuffix(basename(file), ".hcl")]) : toset([])
  callers    = var.acl ? toset(["dashboard", "gateway", "ordering"]) : toset([])
  queries    = { for file in fileset(var.folder, "queries/*.json") : basename(file) => jsondecode(file("${var.folder}/${file}")) }
  intentions = var.mesh ? jsondecode(file("${var.folder}/intentions.json")) : {}
}

resource "consul_keys" "secret" {
  for_each = nonsensitive(toset(keys(var.secrets)))

  key {
    path  = "ticketflow/secrets/${each.key}"
    value = var.secrets[each.key]
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
  rules = file("${var.folder}/policies/${each.key}.hcl")
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

resource "consul_prepared_query" "this" {
  for_each = local.queries

  name         = each.value.Name
  service      = each.value.Service.Service
  only_passing = each.value.Service.OnlyPassing
  near         = try(each.value.Service.Near, null)
  tags         = try(each.value.Service.Tags, null)

  template {
    type   = each.value.Template.Type
    regexp = each.value.Template.Regexp
  }

  dynamic "failover" {
    for_each = try([each.value.Service.Failover], [])
    content {
      nearest_n = failover.value.NearestN
    }
  }

  dns {
    ttl = each.value.DNS.TTL
  }
}

resource "consul_config_entry" "intentions" {
  for_each = local.intentions

  kind = "service-intentions"
  name = each.key

  config_json = jsonencode({
    Sources = [for source, action in each.value : { Name = source, Action = action }]
  })
}
