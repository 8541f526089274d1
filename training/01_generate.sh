#!/bin/sh
# Draw feeders and scenarios into datasets/NAME. Usage: sh training/01_generate.sh [small|held_out]
set -eu
name=${1:-small}
.venv/bin/learnopt generate --config "training/configs/dataset_$name.toml" --out "datasets/$name"
