# A namespace for the shop, and the two kinds of people who come to it.

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
