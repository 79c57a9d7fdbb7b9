# Postgres with the three databases: one writer, on the node that has the volume. Its release is Postgres's own,
# so that a deployment of the shop does not restart it.

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
  default = "postgres:15"
}
variable "bin" { # Postgres's programs, on the node or in the image
  type    = string
  default = "/usr/lib/postgresql/15/bin"
}
variable "volumes" { # raw_exec cannot mount: the folder on the node that holds the volumes
  type    = string
  default = "/srv/ticketflow"
}
variable "postgres_port" {
  type    = number
  default = 5432
}
variable "clients" { # whom Postgres lets try a password: samenet, or networks such as 10.0.0.0/8
  type    = string
  default = "samenet"
}

locals {
  native = var.driver != "docker"
  data   = var.driver == "raw_exec" ? "${var.volumes}/postgres" : "/data"
}

job "postgres" {
  datacenters = var.datacenters
  namespace   = var.namespace
  type        = "service"
  priority    = 80

  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  update {
    max_parallel      = 1
    canary            = 0 # two servers on one folder would ruin it
    auto_revert       = false
    health_check      = "checks"
    min_healthy_time  = "10s"
    healthy_deadline  = "5m"
    progress_deadline = "10m"
  }

  group "db" {
    count          = 1
    shutdown_delay = "2s"

    restart {
      attempts = 10
      interval = "10m"
      delay    = "15s"
      mode     = "delay" # stay where the data is
    }

    reschedule { # Nomad fails an allocation whose templates cannot be read for long; its volume brings it back here
      delay          = "30s"
      delay_function = "constant"
      unlimited      = true
    }

    network {
      port "pg" { static = var.postgres_port }
    }

    volume "data" {
      type   = "host"
      source = "ticketflow-postgres"
    }

    service {
      name = "postgres"
      port = "pg"

      check { # readiness only: a database that is slow to answer must not be shot for it
        name     = "ready"
        type     = "script"
        task     = "postgres"
        command  = "${var.bin}/pg_isready"
        args     = ["-h", "${NOMAD_IP_pg}", "-p", "${NOMAD_PORT_pg}", "-q"]
        interval = "10s"
        timeout  = "3s"
      }
    }

    task "postgres" {
      driver       = var.driver
      user         = "postgres"
      kill_signal  = "SIGINT" # "fast": it does not wait for clients to leave
      kill_timeout = "60s"

      dynamic "volume_mount" { # raw_exec cannot mount
        for_each = var.driver == "raw_exec" ? [] : [1]
        content {
          volume      = "data"
          destination = "/data"
        }
      }

      config {
        command      = "/bin/sh"
        args         = ["${NOMAD_TASK_DIR}/serve.sh"]
        image        = local.native ? null : var.image
        network_mode = local.native ? null : "host"
      }

      env {
        BIN       = var.bin
        DATA      = "${local.data}/15"
        LISTEN_ON = "${NOMAD_IP_pg}"
        PORT      = "${NOMAD_PORT_pg}"
      }

      template {
        data        = <<EOT
set -eu
if [ ! -s "$DATA/PG_VERSION" ]; then
    rm -rf "$DATA" # half a cluster, of a start that was cut short
    # The password by standard input: arguments can be read by everyone on the node.
    printf '%s\n' "$SUPERUSER_PASSWORD" | "$BIN/initdb" -D "$DATA" --username=postgres --pwfile=/dev/stdin \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
fi
exec "$BIN/postgres" -D "$DATA" -p "$PORT" -c listen_addresses="$LISTEN_ON" -c unix_socket_directories= \
    -c hba_file="$NOMAD_TASK_DIR/pg_hba.conf" -c max_connections=200 -c shared_buffers=256MB
EOT
        destination = "local/serve.sh"
      }

      template {
        data        = <<EOT
host all all 127.0.0.1/32 scram-sha-256
host all all ${var.clients} scram-sha-256
EOT
        destination = "local/pg_hba.conf"
      }

      template { # read only when the cluster is made, so a change restarts nothing
        data        = <<EOT
{{ with key "ticketflow/secrets/database/postgres" }}SUPERUSER_PASSWORD={{ . }}{{ end }}
EOT
        destination = "secrets/postgres.env"
        env         = true
        perms       = "0600"
        change_mode = "noop"
      }

      logs {
        max_files     = 5
        max_file_size = 10
      }

      resources {
        cpu    = 500
        memory = 1024
      }
    }

    task "databases" { # makes each service's role and database where missing, and sets its password as Consul has it
      driver = var.driver
      user   = "postgres"

      lifecycle {
        hook    = "poststart"
        sidecar = false
      }

      config {
        command      = "/bin/sh"
        args         = ["${NOMAD_TASK_DIR}/databases.sh"]
        image        = local.native ? null : var.image
        network_mode = local.native ? null : "host"
      }

      env {
        BIN               = var.bin
        PGHOST            = "${NOMAD_IP_pg}"
        PGPORT            = "${NOMAD_PORT_pg}"
        PGUSER            = "postgres"
        PGDATABASE        = "postgres"
        PGAPPNAME         = "ticketflow-databases"
        PGOPTIONS         = "--client-min-messages=warning"
        PGCONNECT_TIMEOUT = "3"
      }

      template {
        data        = <<EOT
set -eu
until "$BIN/pg_isready" -q; do sleep 1; done
for name in catalog identity ordering; do
    DATABASE=$name
    case $name in
    catalog) PASSWORD=$CATALOG_PASSWORD ;;
    identity) PASSWORD=$IDENTITY_PASSWORD ;;
    ordering) PASSWORD=$ORDERING_PASSWORD ;;
    esac
    export DATABASE PASSWORD
    "$BIN/psql" --no-psqlrc --quiet -v ON_ERROR_STOP=1 <<'SQL'
\set name `printenv DATABASE`
\set password `printenv PASSWORD`
SELECT format('CREATE ROLE %I LOGIN', :'name') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
ALTER ROLE :"name" PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'name')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
EOT
        destination = "local/databases.sh"
      }

      template {
        data        = <<EOT
{{ with key "ticketflow/secrets/database/postgres" }}PGPASSWORD={{ . }}{{ end }}
{{ with key "ticketflow/secrets/database/catalog" }}CATALOG_PASSWORD={{ . }}{{ end }}
{{ with key "ticketflow/secrets/database/identity" }}IDENTITY_PASSWORD={{ . }}{{ end }}
{{ with key "ticketflow/secrets/database/ordering" }}ORDERING_PASSWORD={{ . }}{{ end }}
EOT
        destination = "secrets/databases.env"
        env         = true
        perms       = "0600"
        change_mode = "noop"
      }

      resources {
        cpu    = 50
        memory = 64
      }
    }
  }
}
