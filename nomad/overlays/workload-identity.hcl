# Beside server.hcl, from Nomad 1.7 and Consul 1.15 on: services are registered, and the templates of jobs with the
# overlay `identity` are rendered, by tokens that Consul gives for the workload's own signed identity.

consul {
  service_identity {
    aud = ["consul.io"]
    ttl = "1h"
  }

  task_identity {
    aud = ["consul.io"]
    ttl = "1h"
  }
}
