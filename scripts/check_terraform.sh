#!/bin/sh
# Fails, and says what is wrong with Terraform's format or with a module that needs no provider; silent otherwise.
set -eu
cd "$(dirname "$0")/../terraform"
export TF_CLI_CONFIG_FILE=/dev/null
TF_DATA_DIR=$(mktemp -d)
export TF_DATA_DIR
trap 'rm -rf "$TF_DATA_DIR"' EXIT
terraform fmt -check -recursive .
for module in modules/*; do
    if [ -d "$module/tests" ] && ! grep -q required_providers "$module"/*.tf; then
        terraform -chdir="$module" init -backend=false -no-color >/dev/null
        terraform -chdir="$module" validate -no-color >/dev/null
        said=$(terraform -chdir="$module" test -no-color 2>&1) || {
            echo "$said" >&2
            exit 1
        }
    fi
done
