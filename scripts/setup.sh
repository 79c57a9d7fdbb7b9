#!/bin/sh
# Sets up everything that the shop needs on Debian; run again, it does only what is missing (nothing: 0.2 s).
#   scripts/setup.sh [--tests | --bench | --nomad]   with one: what only the tests, the measurements, or a Nomad on
#                                                    this machine need, too
# The only thing it wants root for is installing Debian packages.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
venv="$root/.venv"
wanted_for=${1:-}

say() { echo "setup: $*"; }
die() {
    echo "setup: $*" >&2
    exit 2
}

# --- Python -----------------------------------------------------------------------------------------------------

python_fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; }

find_python() {
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && python_fits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    die "There is no Python from 3.11 to 3.13 on PATH. Install one, or name it: make PYTHON=/path/to/python3 …"
}

# --- Debian packages --------------------------------------------------------------------------------------------

missing_packages() {
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || echo postgresql
    command -v redis-server >/dev/null || echo redis-server
    [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || echo rabbitmq-server
    "$python" -c 'import ensurepip' 2>/dev/null || echo "python3-venv"
    if [ ! -e "$venv/.complete" ]; then # tartiflette is built from its source
        command -v cmake >/dev/null || echo cmake
        command -v c++ >/dev/null || echo g++
    fi
    case $wanted_for in
    --tests)
        command -v chromium >/dev/null || echo chromium
        command -v faketime >/dev/null || echo faketime
        command -v promtool >/dev/null || echo prometheus
        command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || echo nginx-light
        ;;
    --nomad) command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || echo nginx-light ;;
    --bench) command -v wrk >/dev/null || echo wrk ;;
    esac
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "These Debian packages are missing: $packages. Install them as root, or install sudo."
    fi
}

install_packages() {
    packages=$(missing_packages | tr '\n' ' ' | sed 's/ $//')
    [ -n "$packages" ] || return 0
    command -v apt-get >/dev/null || die "These programs are missing: $packages. Only Debian can be set up by itself."
    say "installing Debian packages, as root: $packages"
    # shellcheck disable=SC2086 # a list of words
    as_root sh "$root/scripts/install_packages.sh" $packages
}

# --- the virtual environment ------------------------------------------------------------------------------------

install_environment() {
    wanted="$(sha256sum <requirements.lock | cut -d' ' -f1) $("$python" -V)"
    [ "$(cat "$venv/.complete" 2>/dev/null)" != "$wanted" ] || return 0
    say "installing the Python packages of requirements.lock into .venv"
    rm -f "$venv/.complete"
    "$venv/bin/python" -c '' 2>/dev/null || "$python" -m venv --clear "$venv"
    pip="$venv/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes --no-deps"
    # The one package that is built here is built with the locked setuptools, so that all that runs is hashed.
    locked_setuptools=$(mktemp)
    awk '/^setuptools==/ { on = 1 } on { print } on && !/\\$/ { exit }' requirements.lock >"$locked_setuptools"
    $pip -r "$locked_setuptools"
    rm -f "$locked_setuptools"
    $pip --no-build-isolation -r requirements.lock
    echo "$wanted" >"$venv/.complete"
}

python=$(find_python)
install_packages
install_environment
sh scripts/get_consul.sh
