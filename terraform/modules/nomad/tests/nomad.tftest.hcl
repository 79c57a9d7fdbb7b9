mock_provider "nomad" {}

variables {
  namespace = "ticketflow"
  variables = true
  volumes   = { postgres = { size = "10GiB", owner = 115 } }
  secrets = {
    "csrf"              = "a", "dashboard-token" = "b", "database/catalog" = "c", "database/identity" = "d",
    "database/ordering" = "e", "database/postgres" = "f", "jwt" = "g", "payments-api-key" = "h",
    "rabbitmq"          = "i", "redis" = "j", "service-token" = "k"
  }
}

run "a_job_is_told_its_own_secrets" {
  command = plan

  assert {
    condition     = nonsensitive(nomad_variable.secrets["gateway"].items) == { csrf = "a", dashboard_token = "b", jwt = "g", redis = "j" }
    error_message = "The gateway is told somebody else's secret, or not its own."
  }

  assert {
    condition     = alltrue([for name, variable in nomad_variable.secrets : variable.path == "nomad/jobs/${name}"])
    error_message = "A job without a policy of its own can read only the path that bears its name."
  }
}

run "a_disk_is_what_its_job_asks_for" {
  command = plan

  assert {
    condition     = one(nomad_dynamic_host_volume.this["postgres"].capability).access_mode == "single-node-writer"
    error_message = "A job that names no mode is placed on no volume without this one."
  }

  assert {
    condition     = nomad_dynamic_host_volume.this["postgres"].parameters == tomap({ mode = "0700", uid = "115", gid = "115" })
    error_message = "The folder would be root's, and its job could not write."
  }
}

run "an_old_nomad_is_asked_for_neither" {
  command = plan

  variables {
    variables = false
    volumes   = {}
  }

  assert {
    condition     = length(nomad_variable.secrets) + length(nomad_dynamic_host_volume.this) == 0
    error_message = "Nomad before 1.4 has no variables, and before 1.10 no such volumes."
  }
}
