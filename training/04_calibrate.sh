#!/bin/sh
# Calibrate checkpoints/NAME on labels in datasets/DATA..., whose feeders it was not trained on.
# Usage: sh training/04_calibrate.sh [NAME [DATA...]]
set -eu
name=${1:-reference}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- held_out held_out_wide
for data in "$@"; do
  set -- "$@" --data "datasets/$data"
  shift
done
.venv/bin/learnopt calibrate --checkpoint "checkpoints/$name" "$@"
