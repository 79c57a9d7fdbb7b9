# The way in: nginx on every node, told by Consul where the gateway is. TLS ends before it, at a balancer.

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
variable "image" { # for the docker driver
  type    = string
  default = "nginx:1.27"
}
variable "nginx" { # the program, on the node
  type    = string
  default = "/usr/sbin/nginx"
}
variable "ingress_port" {
  type    = number
  default = 8080
}

locals { native = var.driver != "docker" }

job "ingress" {
  datacenters = var.datacenters
  namespace   = var.namespace
  type        = "system"
  priority    = 70

  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  update {
    max_parallel = 1 # one node after the other
    stagger      = "30s"
  }

  group "edge" {
    shutdown_delay = "5s"

    restart {
      attempts = 10
      interval = "10m"
      delay    = "5s"
      mode     = "delay"
    }

    network {
      port "http" { static = var.ingress_port }
    }

    service {
      name = "ingress"
      port = "http"
      tags = ["http"]

      meta {
        alloc = "${NOMAD_ALLOC_ID}"
      }

      check {
        name     = "ready"
        type     = "http"
        path     = "/-/ready"
        interval = "5s"
        timeout  = "2s"
      }

      check {
        name     = "live"
        type     = "http"
        path     = "/-/alive"
        interval = "10s"
        timeout  = "2s"
        check_restart {
          limit = 3
          grace = "30s"
        }
      }
    }

    task "nginx" {
      driver       = var.driver
      user         = local.native ? "nobody" : ""
      kill_signal  = "SIGQUIT" # nginx's graceful stop
      kill_timeout = "45s"

      config {
        command = local.native ? var.nginx : "nginx"
        args    = ["-c", "${NOMAD_TASK_DIR}/nginx.conf", "-e", "stderr"]
        image   = local.native ? null : var.image
        ports   = local.native ? null : ["http"]
      }

      template {
        data          = <<EOT
daemon off;
pid {{ env "NOMAD_TASK_DIR" }}/nginx.pid;
error_log stderr warn;
worker_processes 2;
worker_shutdown_timeout 40s; # after a reload, for requests in flight
events { worker_connections 4096; }

http {
  client_body_temp_path {{ env "NOMAD_TASK_DIR" }}/body;
  proxy_temp_path {{ env "NOMAD_TASK_DIR" }}/proxy;
  fastcgi_temp_path {{ env "NOMAD_TASK_DIR" }}/fastcgi;
  uwsgi_temp_path {{ env "NOMAD_TASK_DIR" }}/uwsgi;
  scgi_temp_path {{ env "NOMAD_TASK_DIR" }}/scgi;
  access_log off; # every service traces its requests
  server_tokens off;

  upstream gateway {
{{- range service "gateway" }}
    server {{ .Address }}:{{ .Port }} max_fails=2 fail_timeout=5s;
{{- else }}
    # Consul knows none, and may only have forgotten them. The file is there once nginx runs, and is no configuration:
    # so it refuses to read this, and goes on with those it knew. One that only starts has a 502 for everybody.
    include {{ env "NOMAD_TASK_DIR" }}/nginx.pi[d];
    server 127.0.0.1:65535;
{{- end }}
  }

  upstream ordering {
{{- range service "ordering" }}
    server {{ .Address }}:{{ .Port }} max_fails=2 fail_timeout=5s;
{{- else }}
    server 127.0.0.1:65535; # the provider tries again
{{- end }}
  }

  server {
    listen {{ env "NOMAD_PORT_http" }};

    client_max_body_size 128k; # the gateway takes 64
    client_header_timeout 10s;
    client_body_timeout 10s;
    send_timeout 30s;

    proxy_http_version 1.1;
    # A new connection for each request: one kept open may be closed just as a POST goes out on it, and a POST
    # that may have arrived must not be sent again.
    proxy_set_header Connection close;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Request-Timeout-Ms ""; # the services tell it each other; a stranger has no say
    proxy_connect_timeout 2s;
    proxy_read_timeout 35s; # the services give up after 30
    # Without `non_idempotent` nginx never repeats a POST that it has begun to send.
    proxy_next_upstream error timeout http_502 http_503;
    proxy_next_upstream_tries 3;
    proxy_next_upstream_timeout 10s;

    location = /-/alive {
      default_type text/plain;
      return 200 "ok\n";
    }
    location = /-/ready {
      proxy_pass http://gateway/health;
    }
    location = /webhooks/payments { # the payment provider calls ordering; it signs what it says
      proxy_pass http://ordering;
    }
    location / {
      proxy_pass http://gateway;
    }
  }
}
EOT
        destination   = "local/nginx.conf"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        splay         = "0s" # whoever has left Consul is about to end
      }

      logs {
        max_files     = 5
        max_file_size = 10
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
