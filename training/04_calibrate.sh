#!/bin/sh
# Calibrate checkpoints/NAME on the labels of datasets/DATA, whose feeders it was not trained on.
# Usage: sh training/04_calibrate.sh [NAME] [DATA]
set -eu
.venv/bin/learnopt calibrate --checkpoint "checkpoints/${1:-reference}" --data "datasets/${2:-held_out}"
