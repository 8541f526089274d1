#!/bin/sh
# Train on datasets/NAME, calibrate, track in mlruns/, write checkpoints/NAME.
# Usage: sh training/03_train.sh [small|reference|larger] [--resume] [--workers N]
set -eu
name=${1:-small}
[ $# -eq 0 ] || shift
.venv/bin/learnopt train --config "training/configs/train_$name.toml" "$@"
