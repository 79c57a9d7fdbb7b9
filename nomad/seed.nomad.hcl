# For development: demo concerts, and a buyer who is called demo. Running it again changes nothing.

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

locals {
  native   = var.driver != "docker"
  unpacked = var.unpacked != "" ? var.unpacked : "${NOMAD_TASK_DIR}/pex"
}

job "seed" {
  datacenters = var.datacenters
  namespace   = var.namespace
  type        = "batch"

  meta {
    release = var.release
  }

  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  group "demo" {
    restart {
      attempts = 3
      interval = "10m"
      delay    = "10s"
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    task "catalog" {
      driver = var.driver
      user   = local.native ? "nobody" : ""

      dynamic "artifact" { # docker has it in the image
        for_each = local.native ? ["catalog"] : []
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
        args            = local.native ? ["local/catalog.pex", "seed"] : ["seed"]
        image           = local.native ? null : "${var.images}/catalog:${var.release}"
        cap_drop        = local.native ? null : ["ALL"]
        readonly_rootfs = local.native ? null : true
      }

      env {
        PEX_ROOT = local.unpacked
      }

      template {
        data        = <<EOT
{{ with key "ticketflow/secrets/database/catalog" }}DATABASE_URL=postgres://catalog:{{ . }}@{{ key "ticketflow/servers/postgres" }}/catalog{{ end }}
{{ with key "ticketflow/secrets/redis" }}REDIS_URL=redis://default:{{ . }}@{{ key "ticketflow/servers/redis" }}/0{{ end }}
{{ with key "ticketflow/secrets/service-token" }}SERVICE_TOKEN_SECRET={{ . }}{{ end }}
EOT
        destination = "secrets/catalog.env"
        env         = true
        perms       = "0600"
        change_mode = "noop"
      }

      resources {
        cpu    = 200
        memory = 256
      }
    }

    task "identity" {
      driver = var.driver
      user   = local.native ? "nobody" : ""

      dynamic "artifact" { # docker has it in the image
        for_each = local.native ? ["identity"] : []
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
        args            = local.native ? ["local/identity.pex", "seed"] : ["seed"]
        image           = local.native ? null : "${var.images}/identity:${var.release}"
        cap_drop        = local.native ? null : ["ALL"]
        readonly_rootfs = local.native ? null : true
      }

      env {
        PEX_ROOT = local.unpacked
      }

      template {
        data        = <<EOT
{{ with key "ticketflow/secrets/database/identity" }}DATABASE_URL=postgres://identity:{{ . }}@{{ key "ticketflow/servers/postgres" }}/identity{{ end }}
{{ with key "ticketflow/secrets/jwt" }}JWT_SECRET={{ . }}{{ end }}
EOT
        destination = "secrets/identity.env"
        env         = true
        perms       = "0600"
        change_mode = "noop"
      }

      resources {
        cpu    = 200
        memory = 256
      }
    }
  }
}
