# The shop at the edge: pages and GraphQL. Keeps nothing; scale it with the number of visitors.

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
variable "trusted_proxies" { # where the ingress, and any balancer before it, runs
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
    "GRAPHQL_MAX_QUERY_BYTES",
    "GRAPHQL_MAX_DEPTH",
    "GRAPHQL_MAX_ALIASES",
    "GRAPHQL_MAX_TOKENS",
    "GRAPHQL_MAX_COST",
    "REGISTER_LIMIT",
    "LOGIN_ADDRESS_LIMIT",
    "LOGIN_ACCOUNT_LIMIT",
    "REFRESH_LIMIT",
    "ORDER_LIMIT",
  ])
}

job "gateway" {
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
      max     = 10
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
      name        = "gateway"
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
        for_each = local.native ? ["gateway"] : []
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
        args            = local.native ? ["local/gateway.pex", "serve"] : ["serve"]
        image           = local.native ? null : "${var.images}/gateway:${var.release}"
        ports           = local.native ? null : ["http"]
        cap_drop        = local.native ? null : ["ALL"]
        readonly_rootfs = local.native ? null : true
      }

      env {
        ENVIRONMENT         = var.environment
        RELEASE             = var.release
        HOST                = local.native ? "${NOMAD_IP_http}" : "0.0.0.0"
        PORT                = "${NOMAD_PORT_http}"
        ADVERTISE           = "${NOMAD_ADDR_http}"
        CONSUL_HTTP_ADDR    = local.consul # it finds the others by itself
        CONSUL_REGISTER     = "off"        # Nomad registers; never both
        DRAIN_S             = "2"          # shutdown_delay has already made callers look away
        GRACE_S             = "20"         # kill_timeout is above both
        LOG_FORMAT          = "json"
        PEX_ROOT            = local.unpacked
        PYTHONUNBUFFERED    = "1"
        TUNABLES_FILE       = "${NOMAD_TASK_DIR}/tunables.env"
        PUBLIC_URL          = var.public_url
        TRUSTED_PROXIES     = join(",", var.trusted_proxies)
        REQUEST_LIMIT       = local.limit
        REGISTER_LIMIT      = local.limit
        LOGIN_ADDRESS_LIMIT = local.limit
        LOGIN_ACCOUNT_LIMIT = local.limit
        REFRESH_LIMIT       = local.limit
        ORDER_LIMIT         = local.limit
        FILE_LIMIT          = local.limit
        PAGE_LIMIT          = local.limit
        FORM_LIMIT          = local.limit
        SIGN_IN_LIMIT       = local.limit
      }

      template { # a rotated secret restarts each instance at a moment of its own
        data        = <<EOT
{{ with key "ticketflow/secrets/jwt" }}JWT_SECRET={{ . }}{{ end }}
{{ with key "ticketflow/secrets/csrf" }}CSRF_SECRET={{ . }}{{ end }}
{{ with key "ticketflow/secrets/redis" }}REDIS_URL=redis://default:{{ . }}@{{ key "ticketflow/servers/redis" }}/0{{ end }}
CONSUL_HTTP_TOKEN={{ keyOrDefault "ticketflow/secrets/consul/gateway" "" }}
{{ with key "ticketflow/secrets/dashboard-token" }}OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20{{ . }}{{ end }}
EOT
        destination = "secrets/gateway.env"
        env         = true
        perms       = "0600"
        change_mode = "restart"
        splay       = "30s"
      }

      template { # each key of the folder is a setting; these are read once, at the start
        data        = <<EOT
{{ $tunables := split "," "${local.tunables}" }}{{ range safeLs "ticketflow/config/gateway" }}{{ if not (in $tunables .Key) }}{{ .Key }}={{ .Value | toJSON }}
{{ end }}{{ end }}
EOT
        destination = "local/config.env"
        env         = true
        change_mode = "restart"
        splay       = "30s"
      }

      template { # the tunable ones: the service reads the file anew, and nothing restarts
        data          = <<EOT
{{ $tunables := split "," "${local.tunables}" }}{{ range safeLs "ticketflow/config/gateway" }}{{ if in $tunables .Key }}{{ .Key }}={{ .Value }}
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
        memory = 256 # of which 121 MiB were used at most in the load of tests/nomad/test_live_nomad.py
      }
    }
  }
}
