# Traces, in memory: the newest 100 000. The dashboard keeps its own for two days.

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
  default = "jaegertracing/jaeger:2.11.0"
}

job "jaeger" {
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

  group "jaeger" {
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
      port "http" { to = 16686 }
      port "otlp" { to = 4317 }
      port "health" { to = 13133 }
    }

    service {
      name = "jaeger"
      port = "http"

      check {
        name     = "ready"
        type     = "http"
        port     = "health"
        path     = "/status"
        interval = "10s"
        timeout  = "2s"
      }
    }

    service {
      name = "jaeger-otlp"
      port = "otlp"

      check {
        name     = "ready"
        type     = "http"
        port     = "health"
        path     = "/status"
        interval = "10s"
        timeout  = "2s"
      }
    }

    task "jaeger" {
      driver       = "docker"
      kill_signal  = "SIGTERM"
      kill_timeout = "30s"

      config {
        image = var.image
        ports = ["http", "otlp", "health"]
      }

      env {
        JAEGER_LISTEN_HOST = "0.0.0.0"
      }

      logs {
        max_files     = 5
        max_file_size = 10
      }

      resources {
        cpu    = 200
        memory = 512
      }
    }
  }
}
