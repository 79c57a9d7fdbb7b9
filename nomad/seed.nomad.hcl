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
variable "home" { # the release's code with its .venv, on the node or in the image
  type    = string
  default = "/opt/ticketflow"
}
variable "image" { # for the docker driver
  type    = string
  default = "ticketflow:dev"
}

locals { native = var.driver != "docker" }

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

      config {
        command = "${var.home}/.venv/bin/python"
        args    = ["-m", "services.catalog", "seed"]
        image   = local.native ? null : var.image
      }

      env {
        PYTHONPATH = var.home
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

      config {
        command = "${var.home}/.venv/bin/python"
        args    = ["-m", "services.identity", "seed"]
        image   = local.native ? null : var.image
      }

      env {
        PYTHONPATH = var.home
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
