#!/bin/bash
# Deploys a release, job after job, and ends well only if that very release runs and is healthy in the end.
#   nomad/deploy.sh [-s SUMS] [-v NAME=VALUE]… ENVIRONMENT RELEASE [JOB…]
# ENVIRONMENT is a file of nomad/vars by its name, or another by its path. Without JOBs: all that the environment has,
# servers first. A variable (-v) goes to each job that declares it, such as
# -v artifacts=https://files.example.com/ticketflow. SUMS is the file of checksums
# that `make dist` has written (dist/SHA256SUMS): nodes run nothing that differs from what was built.
# Nomad is found by NOMAD_ADDR, NOMAD_TOKEN, NOMAD_NAMESPACE …, as its own command does.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
servers=(postgres redis rabbitmq)
services=(payments catalog identity ordering notifications gateway)
edge=(ingress backup)

say() { echo "deploy: $*"; }
die() {
    echo "deploy: $*" >&2
    exit 1
}

usage() {
    sed -n '3s/^# */usage: /p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

given=()
sums="$here/../dist/SHA256SUMS"
while getopts s:v: option; do
    case $option in
    s) sums=$OPTARG ;;
    v) given+=("$OPTARG") ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -ge 2 ] || usage
environment=$1 release=$2
shift 2
var_file="$here/vars/$environment.hcl"
[ "${environment%.hcl}" = "$environment" ] || var_file=$environment
[ -f "$var_file" ] || die "there is no environment $environment: nomad/vars/ has $(cd "$here/vars" && echo *.hcl)"
for program in nomad python3; do
    command -v "$program" >/dev/null || die "$program is not on PATH"
done

# In development the shop needs somebody who takes its mails, and something to sell.
if grep -Eq '^environment *= *"development"' "$var_file"; then
    jobs=("${servers[@]}" dashboard mailbox migrate seed "${services[@]}" "${edge[@]}")
else
    jobs=("${servers[@]}" dashboard migrate "${services[@]}" "${edge[@]}")
fi
[ $# = 0 ] || jobs=("$@")

# The release's files, as an HCL map of service to checksum.
checksums=$(awk -v "ending=-$release.pex" '
    substr($2, length($2) - length(ending) + 1) == ending {
        printf "%s%s=\"%s\"", comma, substr($2, 1, length($2) - length(ending)), $1
        comma = ","
    }' "$sums" 2>/dev/null) || true

run=$(date -u +%Y%m%dT%H%M%SZ) # the same when a job is planned and when it is run
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

file_of() { echo "$here/$1.nomad.hcl"; }
declares() { grep -q "^variable \"$2\"" "$(file_of "$1")"; }

# Nomad refuses a variable that a job does not declare, so each job gets a file with its own.
write_variables() {
    awk 'NR == FNR { if ($1 == "variable") { gsub(/"/, "", $2); declared[$2] = 1 } next } $1 in declared' \
        "$(file_of "$1")" "$var_file" >"$work/$1.hcl"
}

# What the command line says of the job, in the array `options`.
set_options() {
    options=("-var-file=$work/$1.hcl")
    if declares "$1" release; then options+=(-var "release=$release"); fi
    if declares "$1" run; then options+=(-var "run=$run"); fi
    if declares "$1" checksums; then options+=(-var "checksums={$checksums}"); fi
    if [ -n "${NOMAD_NAMESPACE:-}" ]; then options+=(-var "namespace=$NOMAD_NAMESPACE"); fi
    for pair in ${given[@]+"${given[@]}"}; do
        if declares "$1" "${pair%%=*}"; then options+=(-var "$pair"); fi
    done
}

validate() {
    [ -f "$(file_of "$1")" ] || die "there is no job $1"
    write_variables "$1"
    set_options "$1"
    nomad job validate "${options[@]}" "$(file_of "$1")" >"$work/said" 2>&1 && return
    [ -n "$checksums" ] || echo "deploy: $sums names no file of release $release: make dist RELEASE=$release" >&2
    die "$1 is not valid: $(cat "$work/said")"
}

# Only what was planned is run: if somebody else changes the job in between, the index differs and Nomad refuses.
deploy() {
    local code=0 index
    set_options "$1"
    nomad job plan "${options[@]}" "$(file_of "$1")" >"$work/plan" 2>&1 || code=$?
    [ "$code" -le 1 ] || die "$1 cannot be planned: $(cat "$work/plan")"
    index=$(sed -n 's/^Job Modify Index: *//p' "$work/plan")
    [ -n "$index" ] || die "$1: the plan names no index: $(cat "$work/plan")"
    # Also where the plan moves nothing (code 0): much is changed in place. A job that is the same stays the same version.
    nomad job run -detach -preserve-counts "-check-index=$index" "${options[@]}" "$(file_of "$1")" >"$work/said" 2>&1 ||
        die "$1 was refused: $(cat "$work/said")"
    if declares "$1" release; then
        python3 "$here/verdict.py" "$1" --release "$release" || die "stopped at $1; the jobs after it are as they were"
    else
        python3 "$here/verdict.py" "$1" || die "stopped at $1; the jobs after it are as they were"
    fi
}

for job in "${jobs[@]}"; do validate "$job"; done
for job in "${jobs[@]}"; do deploy "$job"; done
say "release $release runs in $environment"
