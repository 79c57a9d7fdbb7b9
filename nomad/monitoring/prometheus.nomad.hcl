# Metrics for fifteen days, and the alerts. They arrive by OTLP, from the collector.

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
  default = "prom/prometheus:v3.7.3"
}
variable "folder" { # where this file's neighbours are, from where `nomad` is run
  type    = string
  default = "nomad/monitoring"
}

job "prometheus" {
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

  group "prometheus" {
    count          = 1
    shutdown_delay = "5s" # out of Consul first, SIGTERM after that

    ephemeral_disk {
      sticky  = true # a new version keeps what there is
      migrate = true
      size    = 10000
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
      name = "prometheus"
      port = "http"

      check {
        name     = "ready"
        type     = "http"
        path     = "/-/ready"
        interval = "10s"
        timeout  = "2s"
      }
    }

    task "prometheus" {
      driver       = "docker"
      kill_signal  = "SIGTERM"
      kill_timeout = "30s"

      config {
        image = var.image
        args = [
          "--config.file=/local/prometheus.yml",
          "--storage.tsdb.path=/alloc/data",
          "--storage.tsdb.retention.time=15d",
          "--storage.tsdb.retention.size=9GB", # the disk has 10
          "--enable-feature=exemplar-storage",
          "--web.enable-otlp-receiver",
          "--web.listen-address=0.0.0.0:${NOMAD_PORT_http}",
        ]
        ports = ["http"]
      }

      env {
        CONSUL_HTTP_ADDR = "http://${attr.unique.network.ip-address}:8500"
      }

      template {
        data          = file("${var.folder}/prometheus.yml")
        destination   = "local/prometheus.yml"
        change_mode   = "signal"
        change_signal = "SIGHUP"
      }

      template { # its own {{ }} are Prometheus's
        data            = file("${var.folder}/alerts.yml")
        destination     = "local/alerts.yml"
        left_delimiter  = "<%"
        right_delimiter = "%>"
        change_mode     = "signal"
        change_signal   = "SIGHUP"
      }

      logs {
        max_files     = 5
        max_file_size = 10
      }

      resources {
        cpu    = 300
        memory = 768
      }
    }
  }
}
