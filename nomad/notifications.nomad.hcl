# Turns order events into mails. Takes no calls: its port only shows how it is.

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
variable "count" {
  type    = number
  default = 2
}
variable "public_url" {
  type    = string
  default = "http://localhost:8080"
}

locals {
  native   = var.driver != "docker"
  unpacked = var.unpacked != "" ? var.unpacked : "${NOMAD_TASK_DIR}/pex"
  tunables = "LOG_LEVEL" # what the service takes from Consul's KV while it runs, separated by commas
}

job "notifications" {
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

  spread { attribute = "${node.unique.id}" }

  update {
    max_parallel      = 1
    canary            = 1
    auto_promote      = true
    auto_revert       = true
    health_check      = "checks"
    min_healthy_time  = "10s"
    healthy_deadline  = "3m" # a node that is short of CPU unpacks slowly
    progress_deadline = "4m" # a release whose canaries fail again and again is given up
  }

  group "worker" {
    count          = var.count
    shutdown_delay = "5s" # out of Consul first, SIGTERM after that

    ephemeral_disk { size = 500 } # the file, unpacked, and its logs

    scaling {
      enabled = true
      min     = 1
      max     = 4
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
      port "http" {}
    }

    service {
      name        = "notifications"
      port        = "http"
      tags        = ["worker"]
      canary_tags = ["worker", "canary"]

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

      check { # only a process that is stuck is restarted, not one whose database is away
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

    task "app" {
      driver       = var.driver
      user         = local.native ? "nobody" : ""
      kill_signal  = "SIGTERM"
      kill_timeout = "60s" # the client's max_kill_timeout must allow it

      dynamic "artifact" { # docker has it in the image
        for_each = local.native ? ["notifications"] : []
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
        args            = local.native ? ["local/notifications.pex", "serve"] : ["serve"]
        image           = local.native ? null : "${var.images}/notifications:${var.release}"
        ports           = local.native ? null : ["http"]
        cap_drop        = local.native ? null : ["ALL"]
        readonly_rootfs = local.native ? null : true
      }

      env {
        ENVIRONMENT      = var.environment
        RELEASE          = var.release
        HOST             = local.native ? "${NOMAD_IP_http}" : "0.0.0.0"
        PORT             = "${NOMAD_PORT_http}"
        ADVERTISE        = "${NOMAD_ADDR_http}"
        CONSUL_REGISTER  = "off" # Nomad registers; never both
        DRAIN_S          = "2"   # shutdown_delay has already made callers look away
        GRACE_S          = "20"  # kill_timeout is above both
        LOG_FORMAT       = "json"
        PEX_ROOT         = local.unpacked
        PYTHONUNBUFFERED = "1"
        TUNABLES_FILE    = "${NOMAD_TASK_DIR}/tunables.env"
        PUBLIC_URL       = var.public_url
      }

      template { # a rotated secret restarts each instance at a moment of its own
        data        = <<EOT
{{ with key "ticketflow/secrets/rabbitmq" }}RABBITMQ_URL=amqp://ticketflow:{{ . }}@{{ key "ticketflow/servers/rabbitmq" }}/{{ end }}
{{ with key "ticketflow/secrets/redis" }}REDIS_URL=redis://default:{{ . }}@{{ key "ticketflow/servers/redis" }}/0{{ end }}
SMTP_PASSWORD={{ keyOrDefault "ticketflow/secrets/smtp-password" "" | toJSON }}
{{ with key "ticketflow/secrets/dashboard-token" }}OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20{{ . }}{{ end }}
EOT
        destination = "secrets/notifications.env"
        env         = true
        perms       = "0600"
        change_mode = "restart"
        splay       = "30s"
      }

      template { # each key of the folder is a setting; these are read once, at the start
        data        = <<EOT
SMTP_HOST={{ key "ticketflow/config/notifications/SMTP_HOST" | toJSON }}
MAIL_FROM={{ key "ticketflow/config/notifications/MAIL_FROM" | toJSON }}
{{ $tunables := split "," "${local.tunables}" }}{{ range safeLs "ticketflow/config/notifications" }}{{ if not (in $tunables .Key) }}{{ .Key }}={{ .Value | toJSON }}
{{ end }}{{ end }}
EOT
        destination = "local/config.env"
        env         = true
        change_mode = "restart"
        splay       = "30s"
      }

      template { # the tunable ones: the service reads the file anew, and nothing restarts
        data          = <<EOT
{{ $tunables := split "," "${local.tunables}" }}{{ range safeLs "ticketflow/config/notifications" }}{{ if in $tunables .Key }}{{ .Key }}={{ .Value }}
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
        memory = 256 # of which 137 MiB were used at most in the load of tests/nomad/test_live_nomad.py
      }
    }
  }
}
