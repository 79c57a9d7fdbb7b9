# A node that runs jobs. The volumes are declared only on the node that has the disk: they pin the jobs to it.

datacenter = "dc1"
data_dir   = "/opt/nomad/data"
bind_addr  = "0.0.0.0"

client {
  enabled          = true
  max_kill_timeout = "120s" # the default of 30 s would cut the services' drain short

  host_volume "ticketflow-postgres" {
    path = "/srv/ticketflow/postgres"
  }
  host_volume "ticketflow-redis" {
    path = "/srv/ticketflow/redis"
  }
  host_volume "ticketflow-rabbitmq" {
    path = "/srv/ticketflow/rabbitmq"
  }
  host_volume "ticketflow-payments" {
    path = "/srv/ticketflow/payments"
  }
  host_volume "ticketflow-backups" { # on another disk than Postgres
    path = "/mnt/backups/ticketflow"
  }

  reserved { # for the agents themselves
    cpu    = 200
    memory = 512
  }
}

acl {
  enabled = true
}

tls {
  http                   = true
  rpc                    = true
  verify_server_hostname = true
  ca_file                = "/etc/nomad.d/tls/ca.pem"
  cert_file              = "/etc/nomad.d/tls/client.pem"
  key_file               = "/etc/nomad.d/tls/client-key.pem"
}

plugin "docker" {
  config {
    allow_privileged = false
    volumes {
      enabled = false # only the host volumes above
    }
  }
}

consul {
  address = "127.0.0.1:8500" # CONSUL_HTTP_TOKEN, by consul/policies/nomad-client.hcl, is in the unit's environment
}

telemetry {
  prometheus_metrics         = true
  publish_allocation_metrics = true
  publish_node_metrics       = true
}
