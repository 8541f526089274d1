#!/bin/sh
# Measure checkpoints/NAME and its rivals on the labels of datasets/DATA.
# Usage: sh training/05_evaluate.sh [NAME] [DATA]
set -eu
.venv/bin/learnopt evaluate --checkpoint "checkpoints/${1:-small}" --data "datasets/${2:-small}"
