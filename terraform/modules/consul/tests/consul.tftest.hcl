mock_provider "consul" {}

variables {
  secrets = { jwt = "not the real one" }
  servers = { redis = "10.0.0.5:6379" }
  config  = { gateway = { LOG_LEVEL = "info" } }
  folder  = "../../../consul"
  acl     = true
  mesh    = true
}

run "keys_are_where_the_jobs_read_them" {
  command = plan

  assert {
    condition = toset(concat(
      [for keys in consul_keys.server : one(keys.key).path],
      [for keys in consul_keys.config : one(keys.key).path],
    )) == toset(["ticketflow/servers/redis", "ticketflow/config/gateway/LOG_LEVEL"])
    error_message = "A key is not where nomad/*.nomad.hcl looks for it."
  }
}

run "who_calls_others_has_a_token_of_its_own" {
  command = plan

  assert {
    condition     = alltrue([for name, token in consul_acl_token.caller : token.policies == toset(["ticketflow-${name}"])])
    error_message = "A token opens more, or less, than its service needs."
  }
}

run "queries_and_intentions_are_as_the_files_say" {
  command = plan

  assert {
    condition     = consul_prepared_query.this["near.json"].near == "_agent"
    error_message = "The nearest instance is not asked for."
  }

  assert {
    condition     = jsondecode(consul_config_entry.intentions["*"].config_json).Sources == [{ Name = "*", Action = "deny" }]
    error_message = "Without a word, everybody may call everybody."
  }
}

run "a_consul_without_acls_gets_no_policies" {
  command = plan

  variables {
    acl  = false
    mesh = false
  }

  assert {
    condition     = length(consul_acl_policy.this) + length(consul_acl_token.caller) + length(consul_config_entry.intentions) == 0
    error_message = "Policies and intentions are for a Consul that has them switched on."
  }
}
