#!/bin/bash
# Puts a dump that the backup job wrote back into its database, all of it or nothing.
#   nomad/restore.sh DUMP
# The database is the one that libpq's environment names: PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD; the user owns
# it. Stop the database's service first: what is written meanwhile is lost, and its connections hold locks.
set -euo pipefail

die() {
    echo "restore: $*" >&2
    exit 1
}

[ $# = 1 ] || die "usage: nomad/restore.sh DUMP"
[ -r "$1" ] || die "$1 cannot be read."
: "${PGHOST:?names no server}" "${PGDATABASE:?names no database}" "${PGUSER:?names no user}"

pg_restore --list "$1" >/dev/null || die "$1 is no dump, or is damaged. Nothing was changed."

others=$(psql --no-psqlrc -Atc "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'")
[ "$others" = 0 ] || die "$others clients are connected to $PGDATABASE: stop its service first. Nothing was changed."

# The schema goes first, as a whole: a newer one may hold what the dump knows nothing of, and `migrate` would make again.
{
    echo 'DROP SCHEMA public CASCADE; CREATE SCHEMA public; ALTER SCHEMA public OWNER TO pg_database_owner;'
    pg_restore --no-owner --file=- "$1"
} | psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --single-transaction --output=/dev/null ||
    die "the restore failed and was rolled back."
psql --no-psqlrc --quiet -c ANALYZE
echo "restore: $PGDATABASE is as $1 has it."
