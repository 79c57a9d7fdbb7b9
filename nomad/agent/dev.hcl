# One machine, server and client in one: `nomad agent -dev -config=nomad/agent/dev.hcl`. State is in memory and /tmp.

client {
  enabled           = true
  network_interface = "lo"
  max_kill_timeout  = "120s" # the default of 30 s would cut the services' drain short

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
  host_volume "ticketflow-backups" {
    path = "/srv/ticketflow/backups"
  }
}

plugin "raw_exec" {
  config {
    enabled = true
  }
}

consul {
  address = "127.0.0.1:8500"
}
