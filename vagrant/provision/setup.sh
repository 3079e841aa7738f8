#!/bin/bash
# setup.sh [--tests]: everything Patchbay needs on Debian 12, from a bare machine on. Run by `make`, by .ci/run and by vagrant.
#   1 Debian packages (only what is missing)   2 .venv with Patchbay   3 a PBX to rehearse on, cached outside the checkout
# Says what it installs, asks nothing, and is done within a second when there is nothing to do.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
PACKAGES=(ca-certificates python3-venv sip-tester sox espeak-ng)
if [ "${1:-}" = --tests ]; then PACKAGES+=(postgresql vagrant); fi

say() { echo "setup: $*"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

missing_packages() {
  comm -23 <(printf '%s\n' "$@" | sort) \
    <({ dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true; } | sed -n 's/^installed //p' | sort)
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages "${PACKAGES[@]}")
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
    echo "setup: Debian packages are missing and this user may not install any. As root:" >&2
    echo "  apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  say "Debian packages: ${missing[*]}"
  local log apt=(as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
  log=$(mktemp)
  # No server of its own is wanted from the postgresql package: the tests start theirs.
  [ -e /etc/postgresql-common/createcluster.conf ] || {
    as_root mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
  }
  { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends -o Dpkg::Options::=--force-confold "${missing[@]}"; } >"$log" 2>&1 \
    || { tail -20 "$log" >&2; rm -f "$log"; exit 1; }
  rm -f "$log"
}

find_python() {  # the first Python >= 3.11 that can make a virtual environment; Debian's own needs a fifth less CPU than a plain build
  for p in /usr/bin/python3 python3 python3.11 python3.12 python3.13; do
    if "$p" -c 'import sys, ensurepip, sqlite3, ssl; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$p"; return; fi
  done
}

make_venv() {
  local want have python
  want=$(cat setup.cfg pyproject.toml | sha256sum)
  have=$(cat .venv/.made-from 2>/dev/null || true)
  [ "$want" != "$have" ] || return 0
  python=$(find_python)
  [ -n "$python" ] || { echo "setup: no Python of 3.11 or later found" >&2; exit 1; }
  say "Python environment .venv ($("$python" -V)), from setup.cfg"
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 --editable '.[dev]' 2> >(grep -vE 'WARNING|Warning|^ *(!!|\*+|Please|name as|with strategy)|^ *$' >&2)
  echo "$want" > .venv/.made-from
}

if [ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" != bookworm ]; then
  say "this is not Debian 12; going on, but only that is tested"
fi
exec 8<setup.cfg
flock 8   # one at a time in this checkout
install_packages
make_venv
controller/lab/asterisk-root.sh >/dev/null
say "ready"
