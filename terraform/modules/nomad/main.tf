# A namespace for the shop, the two kinds of people who come to it, its disks, and its secrets as Nomad variables.

locals {
  # Which of the secrets each job is told; with workload identities a job can read its own path and no other's.
  readers = {
    backup        = ["database/catalog", "database/identity", "database/ordering"]
    catalog       = ["dashboard-token", "database/catalog", "redis", "service-token"]
    dashboard     = ["dashboard-token", "rabbitmq"]
    gateway       = ["csrf", "dashboard-token", "jwt", "redis"]
    identity      = ["dashboard-token", "database/identity", "jwt"]
    migrate       = ["database/catalog", "database/identity", "database/ordering"]
    notifications = ["dashboard-token", "rabbitmq", "redis"]
    ordering      = ["dashboard-token", "database/ordering", "jwt", "payments-api-key", "rabbitmq", "service-token"]
    payments      = ["dashboard-token", "payments-api-key"]
    postgres      = ["database/catalog", "database/identity", "database/ordering", "database/postgres"]
    rabbitmq      = ["rabbitmq"]
    redis         = ["redis"]
    seed          = ["database/catalog", "database/identity", "jwt", "redis", "service-token"]
  }
}

resource "nomad_namespace" "this" {
  name        = var.namespace
  description = "The ticket shop"
}

resource "nomad_acl_policy" "deploy" {
  name        = "${var.namespace}-deploy"
  description = "Deploys, scales and restarts the jobs"
  rules_hcl   = <<-EOT
    namespace "${nomad_namespace.this.name}" {
      policy       = "write"
      capabilities = ["scale-job"]
    }
    host_volume "ticketflow-*" {
      policy = "write"
    }
    node {
      policy = "read"
    }
  EOT
}

resource "nomad_acl_policy" "read" {
  name        = "${var.namespace}-read"
  description = "Sees how the jobs are, and their logs"
  rules_hcl   = <<-EOT
    namespace "${nomad_namespace.this.name}" {
      policy       = "read"
      capabilities = ["read-logs"]
    }
    node {
      policy = "read"
    }
  EOT
}

# From Nomad 1.10 on: the disks without a line in a node's configuration. Their node is chosen once, and stays.
resource "nomad_dynamic_host_volume" "this" {
  for_each = var.volumes

  name         = "ticketflow-${each.key}"
  namespace    = nomad_namespace.this.name
  plugin_id    = "mkdir"
  capacity_min = each.value.size

  capability {
    access_mode     = "single-node-writer" # what a job asks for that names no mode, as those for Nomad 1.1 must
    attachment_mode = "file-system"
  }

  parameters = {
    mode = "0700"
    uid  = tostring(each.value.owner)
    gid  = tostring(each.value.owner)
  }

  lifecycle {
    prevent_destroy = true # the data would go with it
  }
}

# From Nomad 1.4 on, for jobs with nomad/overlays/overlay.py variables.
resource "nomad_variable" "secrets" {
  for_each = var.variables ? local.readers : {}

  path      = "nomad/jobs/${each.key}"
  namespace = nomad_namespace.this.name
  items     = { for name in each.value : replace(name, "/[^a-z]/", "_") => var.secrets[name] }
}
