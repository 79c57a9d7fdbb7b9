# Takes the shop's telemetry by OTLP, and passes it to Jaeger, Prometheus and the dashboard. Keeps nothing.

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
  default = "otel/opentelemetry-collector-contrib:0.139.0"
}
variable "folder" { # where this file's neighbours are, from where `nomad` is run
  type    = string
  default = "nomad/monitoring"
}
variable "otlp_port" { # 4318 is the dashboard's, which may be on the same node
  type    = number
  default = 14318
}
variable "otlp_grpc_port" {
  type    = number
  default = 14317
}

job "otel-collector" {
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

  group "otel-collector" {
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
      port "otlp" { static = var.otlp_port }
      port "otlp_grpc" { static = var.otlp_grpc_port }
      port "metrics" {}
      port "health" {}
    }

    service { # services send to near-otel-collector.query.consul
      name = "otel-collector"
      port = "otlp"

      check {
        name     = "ready"
        type     = "http"
        port     = "health"
        path     = "/"
        interval = "10s"
        timeout  = "2s"
      }
    }

    service {
      name = "otel-collector-metrics"
      port = "metrics"

      check {
        name     = "metrics"
        type     = "http"
        port     = "metrics"
        path     = "/metrics"
        interval = "10s"
        timeout  = "2s"
      }
    }

    task "otel-collector" {
      driver       = "docker"
      kill_signal  = "SIGTERM"
      kill_timeout = "30s"

      config {
        image = var.image
        args  = ["--config=/local/collector.yaml"]
        ports = ["otlp", "otlp_grpc", "metrics", "health"]
      }

      template {
        data        = <<EOT
{{ with key "ticketflow/secrets/dashboard-token" }}DASHBOARD_TOKEN={{ . }}{{ end }}
EOT
        destination = "secrets/collector.env"
        env         = true
        perms       = "0600"
        change_mode = "restart"
      }

      template { # it reads its configuration anew, and loses nothing
        data          = file("${var.folder}/collector.yaml")
        destination   = "local/collector.yaml"
        change_mode   = "signal"
        change_signal = "SIGHUP"
      }

      logs {
        max_files     = 5
        max_file_size = 10
      }

      resources {
        cpu    = 200
        memory = 256 # its memory_limiter keeps below that
      }
    }
  }
}
