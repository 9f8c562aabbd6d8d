#!/usr/bin/env bash
# Makes .venv and installs this checkout into it with one extra of pyproject.toml: bash scripts/setup.sh [demo|dev]
# PYTHON chooses the interpreter; TORCH_INDEX is where torch comes from if the usual index would bring CUDA packages to a
# machine without an NVIDIA GPU. Safe to run again: where nothing has changed it does nothing. Runs on bash 3.2.
set -euo pipefail
cd "$(dirname "$0")/.."

extra=${1:-dev}
torch_index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
python=.venv/bin/python
log=.venv/setup.log
ready=.venv/ready-$extra
megabytes=3000 # what an environment of the CPU build and its downloads take

fail() {
  echo "setup: $*" >&2
  exit 1
}

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1; }

choose_python() {
  local candidate
  if [ -n "${PYTHON:-}" ]; then
    supported "$PYTHON" || fail "PYTHON=$PYTHON is $("$PYTHON" --version 2>&1 | tail -n 1), and Python 3.11 to 3.14 is needed: set PYTHON to one of these"
    echo "$PYTHON"
    return
  fi
  for candidate in python3 python3.13 python3.12 python3.14 python3.11 python; do
    if supported "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  fail "no Python 3.11 to 3.14 found (python3 is $(python3 --version 2>&1 | tail -n 1)): install one, or set PYTHON=/path/to/python"
}

# What the environment was made from; any change of it makes the installation stale.
fingerprint() {
  {
    cat pyproject.toml constraints.txt scripts/setup.sh CMakeLists.txt native/*.*
    find unrolled -name __init__.py | sort # an editable installation knows the folders that it was made with
    "$python" -c 'import sys; print(sys.version)' 2>/dev/null || true
  } | cksum
}

# False if .venv is missing, was moved, lost its interpreter, or had an installation cut off in the middle.
intact() {
  [ ! -e .venv/installing ] && [ "$(cat .venv/place 2>/dev/null)" = "$PWD" ] &&
    "$python" -c 'import pip' 2>/dev/null && wanted_version
}

wanted_version() {
  [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" -c 'import sys; print(sys.version)' 2>&1)" = "$("$python" -c 'import sys; print(sys.version)')" ]
}

check_owner() {
  local owner
  [ -e .venv ] || return 0
  owner=$(cat .venv/installing 2>/dev/null || true)
  if [ -n "$owner" ] && [ "$owner" != $$ ] && kill -0 "$owner" 2>/dev/null; then
    fail "process $owner is installing into .venv: wait for it to end (if it is no set-up, delete .venv/installing)"
  fi
  if [ ! -e .venv/installing ] && [ ! -e .venv/place ]; then
    fail ".venv is here and this script did not make it: move it away and run this again"
  fi
}

make_environment() {
  local base free
  base=$(choose_python)
  "$base" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "$base has no venv module: install it (Debian, Ubuntu: apt install python3-venv)"
  rm -rf .venv
  free=$(df -Pk . | awk 'NR == 2 {print int($4 / 1000)}')
  [ "$free" -ge "$megabytes" ] ||
    fail "$free MB are free in $PWD and about $megabytes MB are needed: make room or move the checkout"
  { mkdir .venv && echo $$ >.venv/installing; } 2>/dev/null || fail "cannot write in $PWD: make it writable"
  echo "setup: making .venv with $("$base" --version 2>&1)"
  "$base" -m venv .venv >"$log" 2>&1 || fail "$base cannot make .venv: $(tail -n 1 "$log")"
  pwd >.venv/place
}

# One line for the last failure of pip.
explain() {
  local host
  host=$(sed -n "s/.*host='\([^']*\)'.*/\1/p" "$log" | head -n 1)
  if grep -q 'No space left on device' "$log"; then
    fail "the disk is full: make room (about $megabytes MB are needed) and run this again"
  elif grep -qE 'NameResolutionError|NewConnectionError|ConnectTimeout|Network is unreachable|ProxyError' "$log"; then
    fail "no network: pip cannot reach ${host:-its package index}: connect, or set a mirror or proxy in pip's settings, and run this again"
  fi
  fail "pip failed: $(grep '^ERROR' "$log" | head -n 1 || true) (all of it in $log)"
}

install() {
  "$python" -m pip install --quiet --disable-pip-version-check -c constraints.txt "$@" 2>"$log" || explain
}

# True if installing would bring CUDA packages.
names_cuda() {
  install --dry-run --report .venv/report.json --no-build-isolation -e ".[$extra]"
  grep -q '"name": "nvidia-' .venv/report.json
}

install_all() {
  echo "setup: installing unrolled[$extra] (the first time takes minutes)"
  install pip scikit-build-core nanobind cmake ninja
  if ! nvidia-smi -L >/dev/null 2>&1 && names_cuda; then
    echo "setup: no NVIDIA GPU here, so torch comes from $torch_index"
    install --no-deps --index-url "$torch_index" torch
    ! names_cuda || fail "CUDA packages would still be installed, and there is no NVIDIA GPU: see .venv/report.json"
  fi
  install --no-build-isolation -e ".[$extra]"
  "$python" -c 'import torch, unrolled' 2>"$log" || fail "installed, but import fails: $(tail -n 1 "$log")"
}

if intact; then
  now=$(fingerprint)
  for done in "$ready" .venv/ready-dev; do # dev holds all other extras
    [ "$(cat "$done" 2>/dev/null)" != "$now" ] || exit 0
  done
fi
check_owner
intact || make_environment
echo $$ >.venv/installing
install_all
fingerprint >"$ready"
rm -f .venv/installing .venv/report.json
