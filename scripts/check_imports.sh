#!/bin/sh
# Fails, and says which import breaks which rule of .importlinter; silent otherwise.
set -eu
said=$(lint-imports --no-logo 2>&1) || {
    echo "$said" >&2
    exit 1
}
