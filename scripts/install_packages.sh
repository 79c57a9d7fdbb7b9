#!/bin/sh
# Installs Debian packages as root, and starts nothing: not now, and not when the machine boots.
#   scripts/install_packages.sh PACKAGE…
# The servers' packages would start services and make a database cluster; the shop runs its own beside them. What is
# put aside for the duration is put back, also after a failure.
set -eu

export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.conf
kept=$(mktemp -d)
units=""

restore() {
    [ ! -e "$kept/policy" ] || rm -f "$policy"
    [ ! -e "$kept/clusters" ] || cp -p "$kept/clusters" "$clusters"
    rm -rf "$kept"
}
trap restore EXIT
trap 'exit 130' INT TERM HUP

install() { apt-get -qq -o=Dpkg::Use-Pty=0 install --no-install-recommends "$@" >"$kept/log" 2>&1 || fail; }

fail() {
    tail -n 30 "$kept/log" >&2
    echo "setup: The packages could not be installed; apt says why above." >&2
    exit 1
}

will_install() { case " $* " in *" $wanted "*) return 0 ;; *) return 1 ;; esac; }

if [ ! -e "$policy" ]; then
    touch "$kept/policy"
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

apt-get -qq update >"$kept/log" 2>&1 || fail
for wanted in redis-server rabbitmq-server prometheus; do
    if will_install "$@"; then units="$units $wanted"; fi
done
wanted=nginx-light
if will_install "$@"; then units="$units nginx"; fi
wanted=postgresql
if will_install "$@"; then
    install postgresql-common
    cp -p "$clusters" "$kept/clusters"
    sed -i '/^#*create_main_cluster/d' "$clusters"
    echo "create_main_cluster = false" >>"$clusters"
fi
install "$@"

if [ -n "$units" ] && command -v systemctl >/dev/null; then
    # shellcheck disable=SC2086 # a list of words
    systemctl --quiet disable $units >/dev/null 2>&1 || echo "setup: could not disable$units at boot" >&2
fi
