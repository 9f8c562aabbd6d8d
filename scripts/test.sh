#!/usr/bin/env bash
# Sets up .venv, then runs every check: lint, format, types, import rules, tests. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh dev

python=$PWD/.venv/bin/python
failed=""

check() {
  local name=$1
  shift
  echo "== $name"
  "$@" </dev/null || failed="$failed $name"
}

check lint "$python" -m ruff check
check format "$python" -m ruff format --check
check types "$python" -m pyright --pythonpath "$python"
check imports .venv/bin/lint-imports --no-logo --no-cache
check tests "$python" -m pytest "$@"

if [ -n "$failed" ]; then
  echo "failed:$failed" >&2
  exit 1
fi
echo "all checks passed"
