# Beside client.hcl, from Nomad 1.2.4 on: templates wait for Consul for as long as it takes. Without it, Nomad kills
# every task with a template once Consul has been away for five minutes.

client {
  template {
    consul_retry {
      attempts = 0 # no limit
    }
  }
}
