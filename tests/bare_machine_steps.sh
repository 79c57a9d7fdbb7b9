#!/bin/bash
# What a newcomer does on the bare machine; tests/bare_machine.sh runs it there, as the newcomer's account.
set -euo pipefail
set -m # background jobs lead process groups of their own, as in a terminal: Ctrl-C reaches make and all below it

up_log=$HOME/up.log
ready="Ctrl-C stops everything"

say() { echo "bare machine: [$((SECONDS / 60))m$((SECONDS % 60))s] $*"; }
fail() {
    echo "bare machine: $*" >&2
    tail -n 60 "$up_log" >&2
    exit 1
}

start_shop() {
    local patience_s=$1 since=$SECONDS
    make up >"$up_log" 2>&1 &
    shop=$!
    until grep -q "$ready" "$up_log"; do
        kill -0 "$shop" 2>/dev/null || fail "make up ended"
        ((SECONDS - since < patience_s)) || fail "make up is not ready after $patience_s s"
        sleep 1
    done
    say "make up: ready after $((SECONDS - since)) s"
}

stop_shop() {
    local since=$SECONDS left
    kill -INT -- "-$shop"
    wait "$shop" || true # make reports an interrupt as a failure
    ((SECONDS - since <= 10)) || fail "Ctrl-C took $((SECONDS - since)) s"
    left=$(others)
    [[ -z $left ]] || fail "still running after Ctrl-C:"$'\n'"$left"
    say "Ctrl-C: nothing is left after $((SECONDS - since)) s"
}

# Processes of this machine (it has a process namespace of its own) that are neither this script nor its shell.
others() {
    local folder pid
    for folder in /proc/[0-9]*; do
        pid=${folder#/proc/}
        [[ $pid != 1 && $pid != $$ && $pid != "$BASHPID" ]] || continue
        awk -v pid="$pid" '/^Name:/ { name = $2 } /^State:/ { state = $2 } /^PPid:/ { parent = $2 }
            END { if (name != "" && state != "Z" && parent != '"$BASHPID"') print pid, name }' "$folder/status" 2>/dev/null || true
    done
}

fetch_home_page() {
    python3 - <<'PYTHON' || fail "the home page is not what it should be"
import urllib.request

with urllib.request.urlopen("http://localhost:8080/", timeout=10) as answer:
    page = answer.read().decode()
assert answer.status == 200 and "/concerts/" in page, page[:500]
PYTHON
    say "the home page shows concerts"
}

git clone --quiet /srv/ticketflow.git "$HOME/ticketflow"
cd "$HOME/ticketflow"
for command in 'make up' 'make test'; do
    grep -q "^$command " README.md || fail "README.md does not say: $command"
done

start_shop 1200
fetch_home_page
say "make test, while the shop runs"
make test || fail "make test failed"
stop_shop
start_shop 30 # the second time
fetch_home_page
stop_shop
