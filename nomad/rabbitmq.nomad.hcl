# RabbitMQ: one node, whose queues are on the volume.

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
  default = "rabbitmq:3.13"
}
variable "launcher" { # empty: Debian's, or what the image has on PATH
  type    = string
  default = ""
}
variable "volumes" { # raw_exec cannot mount: the folder on the node that holds the volumes
  type    = string
  default = "/srv/ticketflow"
}
variable "amqp_port" {
  type    = number
  default = 5672
}

locals {
  native   = var.driver != "docker"
  data     = var.driver == "raw_exec" ? "${var.volumes}/rabbitmq" : "/data"
  default  = local.native ? "/usr/lib/rabbitmq/bin/rabbitmq-server" : "rabbitmq-server"
  launcher = var.launcher != "" ? var.launcher : local.default
}

job "rabbitmq" {
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
      port "amqp" { static = var.amqp_port }
      port "epmd" {} # of its own: the machine's may be another's, or somebody else's to stop
      port "erlang" {}
    }

    volume "data" {
      type   = "host"
      source = "ticketflow-rabbitmq"
    }

    service {
      name = "rabbitmq"
      port = "amqp"

      check { # readiness only: what is slow to answer must not be shot for it
        name     = "ready"
        type     = "tcp"
        interval = "10s"
        timeout  = "3s"
      }
    }

    task "rabbitmq" {
      driver       = var.driver
      user         = "rabbitmq"
      kill_signal  = "SIGTERM"
      kill_timeout = "60s"

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
        HOME                 = local.data
        LAUNCHER             = local.launcher
        LISTEN_ON            = "${NOMAD_IP_amqp}"
        PORT                 = "${NOMAD_PORT_amqp}"
        ERL_EPMD_PORT        = "${NOMAD_PORT_epmd}"
        ERL_EPMD_ADDRESS     = "127.0.0.1"
        RABBITMQ_DIST_PORT   = "${NOMAD_PORT_erlang}"
        RABBITMQ_NODENAME    = "ticketflow@localhost" # the data belong to this name, wherever the node is called
        RABBITMQ_MNESIA_BASE = "${local.data}/mnesia"
        RABBITMQ_LOG_BASE    = "${local.data}/log"
      }

      template {
        data        = <<EOT
set -eu
umask 077
cat >"$NOMAD_SECRETS_DIR/rabbitmq.conf" <<CONF
listeners.tcp.1 = $LISTEN_ON:$PORT
default_user = ticketflow
default_pass = $PASSWORD
vm_memory_high_watermark.absolute = 400MiB
disk_free_limit.absolute = 1GB
log.console = true
log.console.level = warning
log.file = false
CONF
echo '[].' >"$NOMAD_SECRETS_DIR/plugins"
: >"$NOMAD_SECRETS_DIR/env.conf" # not the machine's
export RABBITMQ_CONFIG_FILE="$NOMAD_SECRETS_DIR/rabbitmq.conf"
export RABBITMQ_ENABLED_PLUGINS_FILE="$NOMAD_SECRETS_DIR/plugins"
export RABBITMQ_CONF_ENV_FILE="$NOMAD_SECRETS_DIR/env.conf"
export RABBITMQ_ALLOW_INPUT=1 # the virtual machine in the launcher's place, not below it …
# … and all the same no shell in it, and no node of Erlang's from elsewhere.
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-noinput -kernel inet_dist_use_interface {127,0,0,1}'
exec "$LAUNCHER"
EOT
        destination = "local/serve.sh"
      }

      template { # read at the start; the runbook says how to rotate it
        data        = <<EOT
{{ with key "ticketflow/secrets/rabbitmq" }}PASSWORD={{ . }}{{ end }}
EOT
        destination = "secrets/rabbitmq.env"
        env         = true
        perms       = "0600"
        change_mode = "noop"
      }

      logs {
        max_files     = 5
        max_file_size = 10
      }

      resources {
        cpu    = 500
        memory = 768
      }
    }
  }
}
