# Each night: a dump of each database, read back before it counts, and the old ones removed. restore.sh takes them.

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
variable "backups" { # the volume's path on the node, for raw_exec; not the disk that Postgres is on
  type    = string
  default = "/srv/ticketflow/backups"
}
variable "keep_days" {
  type    = number
  default = 14
}

locals {
  native  = var.driver != "docker"
  backups = var.driver == "raw_exec" ? var.backups : "/data"
}

job "backup" {
  datacenters = var.datacenters
  namespace   = var.namespace
  type        = "batch"

  periodic {
    cron             = "17 3 * * *"
    time_zone        = "UTC"
    prohibit_overlap = true
  }

  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  group "databases" {
    restart {
      attempts = 2
      interval = "1h"
      delay    = "5m"
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    volume "data" {
      type   = "host"
      source = "ticketflow-backups"
    }

    task "dump" {
      driver = var.driver
      user   = "postgres" # it owns the volume

      dynamic "volume_mount" { # raw_exec cannot mount
        for_each = var.driver == "raw_exec" ? [] : [1]
        content {
          volume      = "data"
          destination = "/data"
        }
      }

      config {
        command = "/bin/sh"
        args    = ["${NOMAD_TASK_DIR}/backup.sh"]
        image   = local.native ? null : var.image
      }

      env {
        BACKUPS   = local.backups
        BIN       = var.bin
        KEEP_DAYS = var.keep_days
      }

      template {
        data        = <<EOT
set -eu
umask 077
now=$(date -u +%Y%m%dT%H%M%SZ)
export PGHOST="$SERVER_HOST" PGPORT="$SERVER_PORT" PGCONNECT_TIMEOUT=10
for name in catalog identity ordering; do
    case $name in
    catalog) PGPASSWORD=$CATALOG_PASSWORD ;;
    identity) PGPASSWORD=$IDENTITY_PASSWORD ;;
    ordering) PGPASSWORD=$ORDERING_PASSWORD ;;
    esac
    export PGPASSWORD PGUSER="$name" PGDATABASE="$name"
    mkdir -p "$BACKUPS/$name"
    dump="$BACKUPS/$name/$now.dump"
    "$BIN/pg_dump" --format=custom --no-owner --file="$dump.part"
    "$BIN/pg_restore" --list "$dump.part" >/dev/null
    sync "$dump.part"
    mv "$dump.part" "$dump"
    # Only now: as long as dumps fail, the last good ones stay.
    find "$BACKUPS/$name" -name '*.dump*' -mtime "+$KEEP_DAYS" -delete
    echo "$dump: $(wc -c <"$dump") bytes"
done
EOT
        destination = "local/backup.sh"
      }

      template {
        data        = <<EOT
{{ with key "ticketflow/servers/postgres" }}{{ with split ":" . }}SERVER_HOST={{ index . 0 }}
SERVER_PORT={{ index . 1 }}{{ end }}{{ end }}
{{ with key "ticketflow/secrets/database/catalog" }}CATALOG_PASSWORD={{ . }}{{ end }}
{{ with key "ticketflow/secrets/database/identity" }}IDENTITY_PASSWORD={{ . }}{{ end }}
{{ with key "ticketflow/secrets/database/ordering" }}ORDERING_PASSWORD={{ . }}{{ end }}
EOT
        destination = "secrets/backup.env"
        env         = true
        perms       = "0600"
        change_mode = "noop"
      }

      logs {
        max_files     = 5
        max_file_size = 10
      }

      resources {
        cpu    = 200
        memory = 128
      }
    }
  }
}
