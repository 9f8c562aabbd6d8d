#!/usr/bin/env bash
# Builds the native kernels with AddressSanitizer and UndefinedBehaviorSanitizer, beside the installed ones, and runs by
# them the tests of native/tests, those of tests/engine that use kernels, and COUNT (20000) mutated step programs.
# Ends with another code than 0 at the first finding. SEED (0) chooses the mutations. Needs GCC.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh dev

count=${1:-20000} seed=${SEED:-0}
compiler=${CXX:-g++}
export PATH=$PWD/.venv/bin:$PATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
  echo "sanitize: $*" >&2
  exit 1
}

runtime=$("$compiler" -print-file-name=libasan.so)
[ -e "$runtime" ] || fail "$compiler has no libasan.so: install GCC with its sanitizers, or name it by CXX"

bash scripts/test_native.sh sanitized

echo "== build"
cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DUNROLLED_SANITIZE=ON \
  -DCMAKE_CXX_COMPILER="$compiler" -DPython_EXECUTABLE="$PWD/.venv/bin/python" >"$folder/log" 2>&1 &&
  cmake --build "$folder" >>"$folder/log" 2>&1 || fail "the build failed: $(tail -n 20 "$folder/log")"

# An editable installation finds its own kernels before those on PYTHONPATH; this puts the path first.
cat >"$folder/sitecustomize.py" <<'END_OF_FILE'
import sys
from importlib.machinery import PathFinder

sys.meta_path.insert(0, PathFinder)
END_OF_FILE

# Exceptions of C++ are only seen by the sanitizer if the library that throws them is there from the start.
sanitized() {
  env PYTHONPATH="$folder" LD_PRELOAD="$runtime $("$compiler" -print-file-name=libstdc++.so)" \
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 OMP_NUM_THREADS=1 CI=true python "$@"
}

found=$(sanitized -c 'import _unrolled_native; print(_unrolled_native.__file__)')
case $found in
  "$folder"/*) sanitized -c 'import _unrolled_native as n; print("instruction sets:", *n.instruction_sets())' ;;
  *) fail "Python imports the kernels of $found and not those of $folder" ;;
esac

echo "== tests"
sanitized -m pytest -q --capture=no -p no:cacheprovider tests/engine/test_ages.py tests/engine/test_ahead.py \
  tests/engine/test_generate.py tests/engine/test_generate_all.py tests/engine/test_native.py \
  tests/engine/test_sampling.py tests/engine/test_threads.py

echo "== mutated programs"
sanitized -W ignore -m tests.engine.fuzz_native "$count" "$seed" "$folder/crashes" || {
  kept=$(mktemp -d)
  cp -r "$folder/crashes" "$kept" 2>/dev/null || true
  fail "findings, see above; the files that were the cause are in $kept"
}
echo "no findings"
