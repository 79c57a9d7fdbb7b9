#!/bin/sh
# Puts Debian 11's consul under .ticketflow/consul, because Debian 12 has none. Nothing of the system changes:
# apt runs on a configuration, lists and a cache of its own, and the package is unpacked, not installed.
# The archive's address is the one the machine's own apt uses; its signature is checked as always.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
home="$root/.ticketflow/consul"
work="$root/.ticketflow/consul.apt"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

give_up() {
    echo "setup: $1 The shop will run without Consul, on fixed addresses." >&2
    echo "setup: To have it, install consul (any release from 1.8) somewhere on PATH." >&2
    rm -rf "$work"
    exit 0
}

command -v consul >/dev/null && exit 0
[ -x "$home/usr/bin/consul" ] && exit 0
command -v apt-get >/dev/null || give_up "There is no consul on PATH, and no apt to fetch one with."
[ -r "$keyring" ] || give_up "There is no consul on PATH, and no Debian keyring to verify one with."

archive=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk '$3 == "main" && $2 !~ /-/ && $1 !~ /security/ { print $1; exit }')
[ -n "$archive" ] || give_up "There is no consul on PATH, and apt has no Debian archive to fetch one from."

rm -rf "$work"
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/package"
: >"$work/status"
echo "deb [signed-by=$keyring] $archive bullseye main" >"$work/sources.list"
# How to reach the archive (proxies, certificates) is the machine's; the rest, hooks included, is left out.
{
    apt-config dump | grep '^Acquire::' || true
    cat <<END
Dir::State "$work/state";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
APT::Sandbox::User "";
END
} >"$work/apt.conf"

echo "setup: fetching consul, which Debian 12 lacks, from $archive (bullseye)"
cd "$work/package"
APT_CONFIG="$work/apt.conf" apt-get -qq update || give_up "The lists of Debian 11 could not be fetched."
APT_CONFIG="$work/apt.conf" apt-get -qq download consul || give_up "Debian 11's consul could not be fetched."
dpkg -x consul_*.deb "$work/unpacked"
rm -rf "$home"
mv "$work/unpacked" "$home" # last: an interrupted run leaves no half-made folder behind
cd "$root"
rm -rf "$work"
"$home/usr/bin/consul" version | head -1
