#!/bin/sh
# Regenerates the Python side of the contract. Needs protoc (Debian: protobuf-compiler, whose version the package supports).
set -eu
cd "$(dirname "$0")"
protoc --proto_path=../../../core/protocol --python_out=asterism_plugin asterism.proto
