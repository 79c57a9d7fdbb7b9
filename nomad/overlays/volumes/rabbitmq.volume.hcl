# From Nomad 1.10 on, instead of the host_volume in client.hcl: `nomad volume create nomad/overlays/volumes/rabbitmq.volume.hcl`.

name      = "ticketflow-rabbitmq"
type      = "host"
plugin_id = "mkdir"

capability {
  access_mode     = "single-node-writer" # what a job asks for that names no mode, as those for Nomad 1.1 must
  attachment_mode = "file-system"
}

constraint { # in the configuration of the node with the disk: client { meta { ticketflow_disk = "rabbitmq" } }
  attribute = "${meta.ticketflow_disk}"
  operator  = "set_contains"
  value     = "rabbitmq"
}

parameters {
  mode = "0700"
  uid  = "65534" # `id -u rabbitmq` there: with the driver exec, tasks run as that account
  gid  = "65534"
}
