# Traces, metrics, logs and the state of every part: takes them by OTLP, keeps them for two days, shows them to whoever
# has its token. Losing them hurts nobody, so they are on the allocation's own disk and not on a volume.

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
variable "environment" {
  type    = string
  default = "development"
}
variable "release" {
  type    = string
  default = "dev"
}
variable "artifacts" { # where the release's files are, from `make dist`; not for docker
  type    = string
  default = ""
}
variable "checksums" { # the SHA-256 of each service's file
  type    = map(string)
  default = {}
}
variable "unpacked" { # nobody's folder on the node, where files stay unpacked for the next start; empty: each task's own
  type    = string
  default = ""
}
variable "python" { # the program on the node, of the version that built the files
  type    = string
  default = "/usr/bin/python3"
}
variable "images" { # for docker: each service's image is <images>/<service>:<release>
  type    = string
  default = "ticketflow"
}
variable "dashboard_port" {
  type    = number
  default = 18888
}
variable "otlp_port" {
  type    = number
  default = 4318
}
variable "otlp_grpc_port" {
  type    = number
  default = 4317
}
variable "public_url" {
  type    = string
  default = "http://localhost:8080"
}
variable "mailbox_url" { # empty: no mails are shown
  type    = string
  default = ""
}
variable "consul" { # empty: the agent of its own node
  type    = string
  default = ""
}

locals {
  native   = var.driver != "docker"
  unpacked = var.unpacked != "" ? var.unpacked : "${NOMAD_TASK_DIR}/pex"
  consul   = var.consul != "" ? var.consul : "http://${attr.unique.network.ip-address}:8500"
  tunables = "LOG_LEVEL" # what the service takes from Consul's KV while it runs, separated by commas
}

job "dashboard" {
  datacenters = var.datacenters
  namespace   = var.namespace
  type        = "service"

  meta {
    release = var.release
  }

  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  update {
    max_parallel      = 1
    canary            = 0 # one writer, and ports that everybody knows
    auto_revert       = true
    health_check      = "checks"
    min_healthy_time  = "10s"
    healthy_deadline  = "3m" # a node that is short of CPU unpacks slowly
    progress_deadline = "4m" # a release whose canaries fail again and again is given up
  }

  group "api" {
    count          = 1
    shutdown_delay = "5s" # out of Consul first, SIGTERM after that

    ephemeral_disk {
      sticky = true # a new release keeps what there is
      size   = 1000
    }

    restart {
      attempts = 3
      interval = "5m"
      delay    = "10s"
      mode     = "fail" # then somewhere else, by reschedule
    }

    reschedule {
      delay          = "15s"
      delay_function = "exponential"
      max_delay      = "10m"
      unlimited      = true
    }

    network {
      port "http" { static = var.dashboard_port }
      port "otlp" { static = var.otlp_port }
      port "otlp_grpc" { static = var.otlp_grpc_port }
    }

    service {
      name = "dashboard"
      port = "http"
      tags = ["http"]

      meta {
        release = var.release
        alloc   = "${NOMAD_ALLOC_ID}"
      }

      check {
        name                     = "ready"
        type                     = "http"
        path                     = "/health"
        interval                 = "5s"
        timeout                  = "2s"
        failures_before_critical = 2
      }

      check { # only a process that is stuck is restarted
        name     = "live"
        type     = "http"
        path     = "/alive"
        interval = "10s"
        timeout  = "2s"
        check_restart {
          limit = 3
          grace = "60s"
        }
      }
    }

    service { # who sends telemetry looks for this name
      name = "otel"
      port = "otlp"

      check {
        name     = "ready"
        type     = "http"
        port     = "otlp"
        path     = "/health"
        interval = "10s"
        timeout  = "2s"
      }
    }

    task "app" {
      driver       = var.driver
      user         = local.native ? "nobody" : ""
      kill_signal  = "SIGTERM"
      kill_timeout = "45s" # the client's max_kill_timeout must allow it

      dynamic "artifact" { # docker has it in the image
        for_each = local.native ? ["dashboard"] : []
        content {
          source      = "${var.artifacts}/${artifact.value}-${var.release}.pex"
          destination = "local/${artifact.value}.pex"
          mode        = "file"
          options {
            checksum = "sha256:${var.checksums[artifact.value]}"
          }
        }
      }

      config {
        command         = local.native ? var.python : null
        args            = local.native ? ["local/dashboard.pex", "serve"] : ["serve"]
        image           = local.native ? null : "${var.images}/dashboard:${var.release}"
        ports           = local.native ? null : ["http", "otlp", "otlp_grpc"]
        cap_drop        = local.native ? null : ["ALL"]
        readonly_rootfs = local.native ? null : true
      }

      env {
        ENVIRONMENT      = var.environment
        RELEASE          = var.release
        HOST             = local.native ? "${NOMAD_IP_http}" : "0.0.0.0"
        PORT             = "${NOMAD_PORT_http}"
        ADVERTISE        = "${NOMAD_ADDR_http}"
        CONSUL_HTTP_ADDR = local.consul # it finds the others by itself
        CONSUL_REGISTER  = "off"        # Nomad registers; never both
        DRAIN_S          = "2"          # shutdown_delay has already made callers look away
        GRACE_S          = "20"         # kill_timeout is above both
        LOG_FORMAT       = "json"
        PEX_ROOT         = local.unpacked
        PYTHONUNBUFFERED = "1"
        TUNABLES_FILE    = "${NOMAD_TASK_DIR}/tunables.env"
        OTLP_PORT        = "${NOMAD_PORT_otlp}"
        OTLP_GRPC_PORT   = "${NOMAD_PORT_otlp_grpc}"
        DASHBOARD_DB     = "${NOMAD_ALLOC_DIR}/data/telemetry.db"
        MAILBOX_URL      = var.mailbox_url
        SHOP_URL         = var.public_url
      }

      template { # a rotated secret restarts it
        data        = <<EOT
{{ with key "ticketflow/secrets/dashboard-token" }}DASHBOARD_TOKEN={{ . }}{{ end }}
{{ with key "ticketflow/secrets/rabbitmq" }}RABBITMQ_URL=amqp://ticketflow:{{ . }}@{{ key "ticketflow/servers/rabbitmq" }}/{{ end }}
CONSUL_HTTP_TOKEN={{ keyOrDefault "ticketflow/secrets/consul/dashboard" "" }}
EOT
        destination = "secrets/dashboard.env"
        env         = true
        perms       = "0600"
        change_mode = "restart"
        splay       = "30s"
      }

      template { # each key of the folder is a setting; these are read once, at the start
        data        = <<EOT
{{ $tunables := split "," "${local.tunables}" }}{{ range safeLs "ticketflow/config/dashboard" }}{{ if not (in $tunables .Key) }}{{ .Key }}={{ .Value | toJSON }}
{{ end }}{{ end }}
EOT
        destination = "local/config.env"
        env         = true
        change_mode = "restart"
        splay       = "30s"
      }

      template { # the tunable ones: the service reads the file anew, and nothing restarts
        data          = <<EOT
{{ $tunables := split "," "${local.tunables}" }}{{ range safeLs "ticketflow/config/dashboard" }}{{ if in $tunables .Key }}{{ .Key }}={{ .Value }}
{{ end }}{{ end }}
EOT
        destination   = "local/tunables.env"
        change_mode   = "signal"
        change_signal = "SIGHUP"
      }

      logs {
        max_files     = 5
        max_file_size = 10
      }

      resources {
        cpu    = 200
        memory = 256 # of which 126 MiB were used at most in the load of tests/nomad/test_live_nomad.py
      }
    }
  }
}
