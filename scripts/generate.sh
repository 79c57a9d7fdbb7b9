#!/bin/sh
# Generates the Python of protos/*.proto under a folder (in it: protos/…); needs .venv/bin on PATH.
set -eu
into=$1
python -m grpc_tools.protoc -I. "--python_out=$into" "--grpclib_python_out=$into" "--mypy_out=quiet:$into" protos/*.proto
