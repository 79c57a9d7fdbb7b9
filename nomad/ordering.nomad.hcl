# Orders, payments and the outbox. Each instance runs a relay and a recovery loop; they share by SKIP LOCKED.

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
variable "trusted_proxies" { # where the gateway and the ingress run
  type    = list(string)
  default = ["127.0.0.0/8"]
}
variable "consul" { # empty: the agent of its own node
  type    = string
  default = ""
}
variable "limits" { # open: a load test from one machine does not reach them
  type    = string
  default = "strict"
  validation {
    condition     = contains(["strict", "open"], var.limits)
    error_message = "Limits must be strict or open."
  }
}

locals {
  native   = var.driver != "docker"
  unpacked = var.unpacked != "" ? var.unpacked : "${NOMAD_TASK_DIR}/pex"
  consul   = var.consul != "" ? var.consul : "http://${attr.unique.network.ip-address}:8500"
  limit    = var.limits == "open" ? "1000000" : "" # empty: the service's own default
  tunables = join(",", [                           # what the service takes from Consul's KV while it runs
    "LOG_LEVEL",
    "ORDERING_HOLD_TTL_S",
    "EXPIRY_GRACE_S",
    "RECOVERY_INTERVAL_S",
    "RECHECK_S",
    "WORK_LEASE_S",
    "KEY_LEASE_S",
  ])
}

job "ordering" {
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

  group "api" {
    count          = var.count
    shutdown_delay = "5s" # out of Consul first, SIGTERM after that

    ephemeral_disk { size = 500 } # the file, unpacked, and its logs

    scaling {
      enabled = true
      min     = 1
      max     = 6
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
      name        = "ordering"
      port        = "http"
      tags        = ["http"]
      canary_tags = ["http", "canary"]

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
      kill_timeout = "45s" # the client's max_kill_timeout must allow it

      dynamic "artifact" { # docker has it in the image
        for_each = local.native ? ["ordering"] : []
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
        args            = local.native ? ["local/ordering.pex", "serve"] : ["serve"]
        image           = local.native ? null : "${var.images}/ordering:${var.release}"
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
        CONSUL_HTTP_ADDR = local.consul # it finds the others by itself
        CONSUL_REGISTER  = "off"        # Nomad registers; never both
        DRAIN_S          = "2"          # shutdown_delay has already made callers look away
        GRACE_S          = "20"         # kill_timeout is above both
        LOG_FORMAT       = "json"
        PEX_ROOT         = local.unpacked
        PYTHONUNBUFFERED = "1"
        TUNABLES_FILE    = "${NOMAD_TASK_DIR}/tunables.env"
        TRUSTED_PROXIES  = join(",", var.trusted_proxies)
        ORDER_LIMIT      = local.limit
        READ_LIMIT       = local.limit
        WEBHOOK_LIMIT    = local.limit
      }

      template { # a rotated secret restarts each instance at a moment of its own
        data        = <<EOT
{{ with key "ticketflow/secrets/database/ordering" }}DATABASE_URL=postgres://ordering:{{ . }}@{{ key "ticketflow/servers/postgres" }}/ordering{{ end }}
{{ with key "ticketflow/secrets/rabbitmq" }}RABBITMQ_URL=amqp://ticketflow:{{ . }}@{{ key "ticketflow/servers/rabbitmq" }}/{{ end }}
{{ with key "ticketflow/secrets/jwt" }}JWT_SECRET={{ . }}{{ end }}
{{ with key "ticketflow/secrets/service-token" }}SERVICE_TOKEN_SECRET={{ . }}{{ end }}
{{ with key "ticketflow/secrets/payments-api-key" }}PAYMENTS_API_KEY={{ . }}{{ end }}
CONSUL_HTTP_TOKEN={{ keyOrDefault "ticketflow/secrets/consul/ordering" "" }}
{{ with key "ticketflow/secrets/dashboard-token" }}OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20{{ . }}{{ end }}
EOT
        destination = "secrets/ordering.env"
        env         = true
        perms       = "0600"
        change_mode = "restart"
        splay       = "30s"
      }

      template { # each key of the folder is a setting; these are read once, at the start
        data        = <<EOT
{{ $tunables := split "," "${local.tunables}" }}{{ range safeLs "ticketflow/config/ordering" }}{{ if not (in $tunables .Key) }}{{ .Key }}={{ .Value | toJSON }}
{{ end }}{{ end }}
EOT
        destination = "local/config.env"
        env         = true
        change_mode = "restart"
        splay       = "30s"
      }

      template { # the tunable ones: the service reads the file anew, and nothing restarts
        data          = <<EOT
{{ $tunables := split "," "${local.tunables}" }}{{ range safeLs "ticketflow/config/ordering" }}{{ if in $tunables .Key }}{{ .Key }}={{ .Value }}
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
        memory = 256 # of which 116 MiB were used at most in the load of tests/nomad/test_live_nomad.py
      }
    }
  }
}
