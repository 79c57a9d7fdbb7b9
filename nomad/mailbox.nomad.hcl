# For development: takes the shop's mails and shows them. A real deployment has a mail server instead.

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
variable "mailbox_port" {
  type    = number
  default = 8025
}
variable "smtp_port" {
  type    = number
  default = 1025
}

locals {
  native   = var.driver != "docker"
  unpacked = var.unpacked != "" ? var.unpacked : "${NOMAD_TASK_DIR}/pex"
}

job "mailbox" {
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
    canary            = 0 # one writer, and one SMTP port
    auto_revert       = true
    health_check      = "checks"
    min_healthy_time  = "10s"
    healthy_deadline  = "3m" # a node that is short of CPU unpacks slowly
    progress_deadline = "4m" # a release whose canaries fail again and again is given up
  }

  group "api" {
    count          = 1
    shutdown_delay = "5s" # out of Consul first, SIGTERM after that

    ephemeral_disk { sticky = true } # a new release keeps the mails

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
      port "http" { static = var.mailbox_port }
      port "smtp" { static = var.smtp_port }
    }

    service {
      name = "mailbox"
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

    task "app" {
      driver       = var.driver
      user         = local.native ? "nobody" : ""
      kill_signal  = "SIGTERM"
      kill_timeout = "45s" # the client's max_kill_timeout must allow it

      dynamic "artifact" { # docker has it in the image
        for_each = local.native ? ["mailbox"] : []
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
        args            = local.native ? ["local/mailbox.pex", "serve"] : ["serve"]
        image           = local.native ? null : "${var.images}/mailbox:${var.release}"
        ports           = local.native ? null : ["http", "smtp"]
        cap_drop        = local.native ? null : ["ALL"]
        readonly_rootfs = local.native ? null : true
      }

      env {
        ENVIRONMENT       = var.environment
        RELEASE           = var.release
        HOST              = local.native ? "${NOMAD_IP_http}" : "0.0.0.0"
        PORT              = "${NOMAD_PORT_http}"
        ADVERTISE         = "${NOMAD_ADDR_http}"
        CONSUL_REGISTER   = "off" # Nomad registers; never both
        DRAIN_S           = "2"   # shutdown_delay has already made callers look away
        GRACE_S           = "20"  # kill_timeout is above both
        LOG_FORMAT        = "json"
        PEX_ROOT          = local.unpacked
        PYTHONUNBUFFERED  = "1"
        MAILBOX_SMTP_PORT = "${NOMAD_PORT_smtp}"
        MAILBOX_DIR       = "${NOMAD_ALLOC_DIR}/data/mail"
      }

      logs {
        max_files     = 5
        max_file_size = 10
      }

      resources {
        cpu    = 200
        memory = 256 # of which 101 MiB were used at most in the load of tests/nomad/test_live_nomad.py
      }
    }
  }
}
