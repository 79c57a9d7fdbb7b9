# One of three servers, which keep the catalog and the keys. Who comes without a token sees where services are, by DNS
# and the catalog, and no more.

server           = true
bootstrap_expect = 3
datacenter       = "dc1"
data_dir         = "/opt/consul"
retry_join       = ["consul-1.internal", "consul-2.internal", "consul-3.internal"]

# The machine's own id: one that comes back with an empty disk is the node of its name still. With another id, a
# restored snapshot would shut it out, and what was registered at it would stay for ever.
disable_host_node_id = false

bind_addr   = "{{ GetPrivateIP }}"
client_addr = "127.0.0.1"

acl {
  enabled                  = true
  default_policy           = "deny"
  down_policy              = "extend-cache" # an outage of the servers does not lock out who was let in before
  enable_token_persistence = true           # `consul acl set-agent-token`: agent by policies/agent.hcl, default by dns.hcl
}

# The gossip key, `consul keygen`, is a secret: it stands alone in /etc/consul.d/encrypt.hcl.
verify_incoming_rpc    = true
verify_outgoing        = true
verify_server_hostname = true
ca_file                = "/etc/consul.d/tls/ca.pem"
cert_file              = "/etc/consul.d/tls/server.pem"
key_file               = "/etc/consul.d/tls/server-key.pem"

connect {
  enabled = true # for those who use the mesh; `define.py --mesh` says who may call whom
}

performance {
  raft_multiplier = 1
}

telemetry {
  prometheus_retention_time = "1m"
}

ui                   = true
disable_update_check = true
