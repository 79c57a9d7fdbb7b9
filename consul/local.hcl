# The agent of a shop on one machine: a server that is its own cluster, seen by nobody else.
# The app host adds the ports and the data folder.

server           = true
bootstrap_expect = 1
datacenter       = "local"
node_name        = "ticketflow"

disable_host_node_id = false # as in server.hcl

bind_addr   = "127.0.0.1"
client_addr = "127.0.0.1"

performance {
  raft_multiplier = 1 # a leader within two seconds
}

limits {
  http_max_conns_per_client = 1000 # every service holds a few blocking queries open, all from one address
}

ui                   = true
disable_update_check = true
log_level            = "ERR"
