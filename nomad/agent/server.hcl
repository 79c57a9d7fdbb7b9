# One of three servers, which keep the cluster's state. `nomad acl bootstrap` makes the first token.

datacenter = "dc1"
data_dir   = "/opt/nomad/data"
bind_addr  = "0.0.0.0" # the firewall: 4646 for operators, 4647 for nodes, 4648 among servers

server {
  enabled          = true
  bootstrap_expect = 3 # they find each other by Consul
}

acl {
  enabled = true
}

tls {
  http                   = true
  rpc                    = true
  verify_server_hostname = true
  verify_https_client    = false # people come with tokens
  ca_file                = "/etc/nomad.d/tls/ca.pem"
  cert_file              = "/etc/nomad.d/tls/server.pem"
  key_file               = "/etc/nomad.d/tls/server-key.pem"
}

consul {
  address = "127.0.0.1:8500" # CONSUL_HTTP_TOKEN, by consul/policies/nomad-server.hcl, is in the unit's environment
}

telemetry {
  prometheus_metrics         = true
  publish_allocation_metrics = true
}

limits {
  http_max_conns_per_client = 400
}
