#!/bin/sh
# Fails when the committed Python of protos/ is not what the .proto files say.
set -eu
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
sh scripts/generate.sh "$fresh"
for file in "$fresh"/protos/*; do
    cmp --quiet "$file" "protos/${file##*/}" && continue
    echo "protos/${file##*/} is not what protos/*.proto says: run \`make proto\`." >&2
    exit 1
done
