# The dashboards. Nothing is kept: data sources and dashboards are the files beside this one.

variable "datacenters" {
  type    = list(string)
  default = ["dc1"]
}
variable "namespace" { # null: the default one
  type    = string
  default = null
}
variable "image" {
  type    = string
  default = "grafana/grafana:12.2.1"
}
variable "folder" { # where this file's neighbours are, from where `nomad` is run
  type    = string
  default = "nomad/monitoring"
}
variable "port" {
  type    = number
  default = 3000
}

job "grafana" {
  datacenters = var.datacenters
  namespace   = var.namespace
  type        = "service"

  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  update {
    max_parallel      = 1
    auto_revert       = true
    health_check      = "checks"
    min_healthy_time  = "10s"
    healthy_deadline  = "2m"
    progress_deadline = "5m"
  }

  group "grafana" {
    count          = 1
    shutdown_delay = "5s" # out of Consul first, SIGTERM after that

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
      port "http" { static = var.port }
    }

    service {
      name = "grafana"
      port = "http"

      check {
        name     = "ready"
        type     = "http"
        path     = "/api/health"
        interval = "10s"
        timeout  = "2s"
      }
    }

    task "grafana" {
      driver       = "docker"
      kill_signal  = "SIGTERM"
      kill_timeout = "30s"

      config {
        image = var.image
        ports = ["http"]
      }

      env {
        GF_SERVER_HTTP_PORT                       = "${NOMAD_PORT_http}"
        GF_PATHS_PROVISIONING                     = "/local/provisioning"
        GF_USERS_ALLOW_SIGN_UP                    = "false"
        GF_ANALYTICS_REPORTING_ENABLED            = "false"
        GF_ANALYTICS_CHECK_FOR_UPDATES            = "false"
        GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH = "/local/dashboards/signals.json"
      }

      template { # the user is admin
        data        = <<EOT
{{ with key "ticketflow/secrets/grafana" }}GF_SECURITY_ADMIN_PASSWORD={{ . }}{{ end }}
EOT
        destination = "secrets/grafana.env"
        env         = true
        perms       = "0600"
        change_mode = "restart"
      }

      template {
        data        = file("${var.folder}/datasources.yaml")
        destination = "local/provisioning/datasources/datasources.yaml"
        change_mode = "restart" # it reads them once
      }

      template {
        data        = file("${var.folder}/dashboards.yaml")
        destination = "local/provisioning/dashboards/dashboards.yaml"
      }

      dynamic "template" { # their own {{ }} are Grafana's
        for_each = ["business", "messaging", "signals", "stores"]
        content {
          data            = file("${var.folder}/dashboards/${template.value}.json")
          destination     = "local/dashboards/${template.value}.json"
          left_delimiter  = "<%"
          right_delimiter = "%>"
          change_mode     = "noop" # it looks at the folder by itself
        }
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
