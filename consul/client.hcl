# The agent of a node that runs jobs: Nomad registers services at it, and the services ask it for each other.

server     = false
datacenter = "dc1"
data_dir   = "/opt/consul"
retry_join = ["consul-1.internal", "consul-2.internal", "consul-3.internal"]

bind_addr   = "{{ GetPrivateIP }}"
client_addr = "127.0.0.1 {{ GetPrivateIP }}" # tasks of the docker driver reach it by the node's address

acl {
  enabled                  = true
  default_policy           = "deny"
  down_policy              = "extend-cache"
  enable_token_persistence = true
}

# The gossip key, `consul keygen`, is a secret: it stands alone in /etc/consul.d/encrypt.hcl.
verify_incoming_rpc    = true
verify_outgoing        = true
verify_server_hostname = true
ca_file                = "/etc/consul.d/tls/ca.pem"
cert_file              = "/etc/consul.d/tls/client.pem"
key_file               = "/etc/consul.d/tls/client-key.pem"

ports {
  grpc = 8502 # where the sidecars of the mesh ask, if there are any
}

limits {
  http_max_conns_per_client = 1000 # every service holds a few blocking queries open, all from one address
}

telemetry {
  prometheus_retention_time = "1m"
}

disable_update_check = true
