#!/usr/bin/env bash
# Builds the tests of the native kernels (native/tests, no Python in it) and runs them:
#   native     with this machine's compiler, in each instruction set that this machine has
#   aarch64    with a cross compiler, under the emulator of QEMU; where either is missing, passed over with one line, and
#              failed if it was named
#   sanitized  as native, with AddressSanitizer and UndefinedBehaviorSanitizer
#   threads    as native, with ThreadSanitizer
# Arguments name the parts; without any, native and aarch64 run. CXX names another compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
shared="-std=c++20 -Wall -Wextra -Wno-psabi -pthread"
kernels="-ffp-contract=fast -fno-math-errno" # as in CMakeLists.txt
avx2="-mavx2 -mfma"
avx512="$avx2 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mprefer-vector-width=512"
avx512="$avx512 -Wno-maybe-uninitialized" # GCC 12 warns of its own header

# Prints a line for each file that a test binary is made of: compiler, flags, file. `level` is that of the kernels.
jobs() {
  local compiler=$1 extra=$2 level=$3 file
  for file in native/tests/*.cpp; do echo "$compiler $shared -O1 $extra -c $file"; done
  for file in ahead attention frames leaves packed sampling schedule session; do
    echo "$compiler $shared -O2 $extra -c native/$file.cpp"
  done
  echo "$compiler $shared $level $kernels $extra -c native/kernels_baseline.cpp"
  if [ "$($compiler -dumpmachine | cut -d- -f1)" = x86_64 ]; then
    echo "$compiler $shared $level $kernels $avx2 $extra -c native/kernels_avx2.cpp"
    echo "$compiler $shared $level $kernels $avx512 $extra -c native/kernels_avx512.cpp"
    extra="$extra -DUNROLLED_X86"
  fi
  echo "$compiler $shared $level $kernels $extra -c native/kernels.cpp"
}

# A test binary at $folder/NAME, by as many compilers as there are processors.
build() {
  local name=$1 compiler=$2 extra=$3 level=$4 link=$5
  mkdir "$folder/objects.$name"
  jobs "$compiler" "$extra" "$level" | while read -r line; do
    file=${line##*/}
    echo "$line -o $folder/objects.$name/${file%.cpp}.o"
  done | xargs -P "$(nproc)" -I{} bash -c '{}'
  $compiler $shared $extra $link "$folder/objects.$name"/*.o -o "$folder/$name"
}

native() {
  echo "== native"
  build native "${CXX:-c++}" "" -O3 ""
  "$folder/native"
}

sanitized() {
  echo "== sanitized"
  build sanitized "${CXX:-c++}" "-g -fsanitize=address,undefined -fno-sanitize-recover=undefined" -O1 ""
  ASAN_OPTIONS=detect_leaks=0 "$folder/sanitized"
}

threads() {
  echo "== threads"
  build threads "${CXX:-c++}" "-g -fsanitize=thread" -O1 ""
  setarch -R "$folder/threads" # without random addresses, which this sanitizer does not expect everywhere
}

aarch64() {
  local compiler=aarch64-linux-gnu-g++ emulator
  emulator=$(command -v qemu-aarch64-static || command -v qemu-aarch64 || true)
  if ! command -v "$compiler" >/dev/null || [ -z "$emulator" ]; then
    local missing="not run, it needs $compiler and qemu-aarch64"
    missing="$missing (Debian, Ubuntu: apt-get install g++-aarch64-linux-gnu qemu-user)"
    if [ "$named" -gt 0 ]; then
      echo "aarch64: $missing" >&2
      exit 1
    fi
    echo "== aarch64: $missing"
    return
  fi
  echo "== aarch64"
  build aarch64 "$compiler" "" -O3 -static
  "$emulator" "$folder/aarch64"
}

named=$#
[ $# -gt 0 ] || set -- native aarch64
for part in "$@"; do
  case $part in
    native | aarch64 | sanitized | threads) "$part" ;;
    *)
      echo "unknown part '$part': choose native, aarch64, sanitized or threads" >&2
      exit 2
      ;;
  esac
done
