#!/bin/sh
# Train on datasets/NAME, calibrate, track in mlruns/, write checkpoints/NAME.
# Usage: sh training/03_train.sh [small|reference]
set -eu
name=${1:-small}
.venv/bin/learnopt train --config "training/configs/train_$name.toml"
