#!/bin/bash
# dev.sh: a lab in .dev/lab and a shell beside it; the lab goes when the shell does.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
mkdir -p .dev
trap '.venv/bin/patchbay lab down --dir .dev/lab' EXIT
.venv/bin/patchbay lab up --dir .dev/lab
cat >.dev/shellrc <<'EOF'
[ -f ~/.bashrc ] && . ~/.bashrc
. .venv/bin/activate
export PATCHBAY_LAB=$PWD/.dev/lab
PS1="(patchbay lab) $PS1"
EOF
cat <<'EOF'
A lab is up: Asterisk, phones and a controller, all on loopback. In this shell try
  patchbay lab status            who is there, which phone does what
  patchbay callback create ...   ring two of them
  patchbay call watch ID         follow a call
  pytest tests/core              the quick tests
Leave with Ctrl-D; the lab goes down with you.
EOF
bash --rcfile .dev/shellrc -i || true
