#!/bin/sh
# Solve every instance of datasets/NAME exactly; run again after an interruption.
# Usage: sh training/02_label.sh [small|held_out]
set -eu
name=${1:-small}
.venv/bin/learnopt label "datasets/$name" --time-limit 1
