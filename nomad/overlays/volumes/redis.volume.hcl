# From Nomad 1.10 on, instead of the host_volume in client.hcl: `nomad volume create nomad/overlays/volumes/redis.volume.hcl`.

name      = "ticketflow-redis"
type      = "host"
plugin_id = "mkdir"

capability {
  access_mode     = "single-node-writer" # what a job asks for that names no mode, as those for Nomad 1.1 must
  attachment_mode = "file-system"
}

constraint { # in the configuration of the node with the disk: client { meta { ticketflow_disk = "redis" } }
  attribute = "${meta.ticketflow_disk}"
  operator  = "set_contains"
  value     = "redis"
}

parameters {
  mode = "0700"
  uid  = "65534" # `id -u redis` there: with the driver exec, tasks run as that account
  gid  = "65534"
}
