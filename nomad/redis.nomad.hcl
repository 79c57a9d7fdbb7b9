# Redis: cache, counted guesses, mails already sent. One writer with an append-only file.

variable "driver" {
  type    = string
  default = "raw_exec"
  validation {
    condition     = contains(["raw_exec", "exec", "docker"], var.driver)
    error_message = "Driver must be raw_exec, exec or docker."
  }
}
variable "datacenters" {
  type    = list(string)
  default = ["dc1"]
}
variable "namespace" { # null: the default one
  type    = string
  default = null
}
variable "image" { # for the docker driver
  type    = string
  default = "redis:7"
}
variable "volumes" { # raw_exec cannot mount: the folder on the node that holds the volumes
  type    = string
  default = "/srv/ticketflow"
}
variable "redis_port" {
  type    = number
  default = 6379
}

locals {
  native = var.driver != "docker"
  data   = var.driver == "raw_exec" ? "${var.volumes}/redis" : "/data"
}

job "redis" {
  datacenters = var.datacenters
  namespace   = var.namespace
  type        = "service"
  priority    = 80

  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  update {
    max_parallel      = 1
    canary            = 0 # two servers on one folder would ruin it
    auto_revert       = false
    health_check      = "checks"
    min_healthy_time  = "10s"
    healthy_deadline  = "5m"
    progress_deadline = "10m"
  }

  group "server" {
    count          = 1
    shutdown_delay = "2s"

    restart {
      attempts = 10
      interval = "10m"
      delay    = "15s"
      mode     = "delay" # stay where the data is
    }

    reschedule { # Nomad fails an allocation whose templates cannot be read for long; its volume brings it back here
      delay          = "30s"
      delay_function = "constant"
      unlimited      = true
    }

    network {
      port "redis" { static = var.redis_port }
    }

    volume "data" {
      type   = "host"
      source = "ticketflow-redis"
    }

    service {
      name = "redis"
      port = "redis"

      check { # readiness only: what is slow to answer must not be shot for it
        name     = "ready"
        type     = "tcp"
        interval = "10s"
        timeout  = "3s"
      }
    }

    task "redis" {
      driver       = var.driver
      user         = "redis"
      kill_signal  = "SIGTERM"
      kill_timeout = "30s"

      dynamic "volume_mount" { # raw_exec cannot mount
        for_each = var.driver == "raw_exec" ? [] : [1]
        content {
          volume      = "data"
          destination = "/data"
        }
      }

      config {
        command      = "/bin/sh"
        args         = ["${NOMAD_TASK_DIR}/serve.sh"]
        image        = local.native ? null : var.image
        network_mode = local.native ? null : "host"
      }

      env {
        DATA      = local.data
        LISTEN_ON = "${NOMAD_IP_redis}"
        PORT      = "${NOMAD_PORT_redis}"
      }

      template {
        data        = <<EOT
set -eu
# By standard input: neither in the arguments, which everyone on the node can read, nor in a file.
exec redis-server - <<CONF
bind $LISTEN_ON
port $PORT
dir $DATA
requirepass $PASSWORD
appendonly yes
appendfsync everysec
save ""
maxmemory 192mb
maxmemory-policy volatile-lru
CONF
EOT
        destination = "local/serve.sh"
      }

      template { # read at the start; the runbook says how to rotate it
        data        = <<EOT
{{ with key "ticketflow/secrets/redis" }}PASSWORD={{ . }}{{ end }}
EOT
        destination = "secrets/redis.env"
        env         = true
        perms       = "0600"
        change_mode = "noop"
      }

      logs {
        max_files     = 5
        max_file_size = 10
      }

      resources {
        cpu    = 200
        memory = 256
      }
    }
  }
}
