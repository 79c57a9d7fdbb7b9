#!/bin/bash
# Proves the README's two commands on a machine that has nothing: a minimal Debian 12, made by debootstrap in a
# temporary folder, with git, make, python3 (and sudo, for the ordinary user), and whatever this machine needs to
# reach the network: apt's sources, name resolution, certificates, pip's settings.
#
#   tests/bare_machine.sh [root] [user] [--keep]      default: both accounts; --keep leaves the folder for a look
#
# Needs root, debootstrap, and some 6 GB under $TMPDIR. What is not committed is not on the bare machine.
# Everything runs in mount and process namespaces of its own: the kernel cleans up, whatever happens.
set -euo pipefail

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
steps="$checkout/tests/bare_machine_steps.sh"
passed_on='^(PIP_[A-Z_]+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|GIT_SSL_CAINFO|(https?|no|HTTPS?|NO)_(proxy|PROXY))='

main() {
    local accounts=() keep=no word
    for word in "$@"; do
        case $word in
        root | user) accounts+=("$word") ;;
        --keep) keep=yes ;;
        *) fail "usage: tests/bare_machine.sh [root] [user] [--keep]" ;;
        esac
    done
    [[ $EUID == 0 ]] || fail "debootstrap and chroot need root."
    command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"

    work=$(mktemp -d "${TMPDIR:-/tmp}/ticketflow-bare.XXXXXX")
    [[ $keep == yes ]] || trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    make_machine "$work/base"
    for word in "${accounts[@]:-root user}"; do
        for account in $word; do
            say "as $account"
            cp -a "$work/base" "$work/$account"
            chroot "$work/$account" chown -R "$account" /srv # git reads no repository of another account
            in_machine "$work/$account" "$account"
            [[ $keep == yes ]] || rm -rf "${work:?}/$account"
        done
    done
    say "both commands work on a bare machine"
}

make_machine() {
    local machine=$1 archive
    archive=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk '$3 == "main" && $2 !~ /-/ && $1 !~ /security/ { print $1; exit }')
    say "making a Debian 12 from $archive"
    debootstrap --variant=minbase --include=ca-certificates,git,make,python3,sudo \
        bookworm "$machine" "$archive" >"$work/debootstrap.log" || { tail "$work/debootstrap.log"; exit 1; }
    copy_settings "$machine"
    chroot "$machine" useradd --create-home --shell /bin/bash user
    echo 'user ALL=(ALL) NOPASSWD: ALL' >"$machine/etc/sudoers.d/user"
    git clone --quiet --bare --no-hardlinks "$checkout" "$machine/srv/ticketflow.git"
    cp "$steps" "$machine/srv/steps.sh"
}

copy_settings() {
    local machine=$1 file
    cp -L /etc/resolv.conf /etc/hosts "$machine/etc/"
    cp -L /etc/ssl/certs/ca-certificates.crt "$machine/etc/ssl/certs/"
    rm -f "$machine/etc/apt/sources.list"
    cp -a /etc/apt/sources.list* /etc/apt/auth.conf.d "$machine/etc/apt/" 2>/dev/null || true
    grep -l '^ *Acquire::' /etc/apt/apt.conf.d/* 2>/dev/null | while read -r file; do
        cp "$file" "$machine/etc/apt/apt.conf.d/"
    done
    for file in /etc/pip.conf "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf"; do
        [[ ! -r $file ]] || cat "$file" >>"$machine/etc/pip.conf"
    done
}

in_machine() {
    # shellcheck disable=SC2016 # the inner shell expands it
    unshare --mount --pid --fork --kill-child -- bash -euc '
        mount -t proc proc "$1/proc"
        mount -t sysfs sysfs "$1/sys"
        mount --rbind /dev "$1/dev"
        home=/root; [[ $2 == root ]] || home=/home/$2
        mapfile -t kept < <(env | grep -E "$3")
        chroot --userspec="$2" "$1" env -i HOME="$home" USER="$2" TERM=dumb LC_ALL=C.UTF-8 \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${kept[@]}" bash /srv/steps.sh
    ' bash "$1" "$2" "$passed_on"
}

say() { echo "bare machine: $*"; }
fail() {
    echo "$*" >&2
    exit 2
}

main "$@"
