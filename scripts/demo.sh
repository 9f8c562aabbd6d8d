#!/usr/bin/env bash
# Sets up .venv, trains a small character model on two centuries of State of the Union addresses for about two minutes
# (DEMO_MINUTES sets another time), and lets it write. Run it again for another run; nothing is overwritten.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh demo

minutes=${DEMO_MINUTES:-2}
data=build/speeches.jsonl

unrolled() {
  printf '\n$ unrolled'
  printf ' %q' "$@"
  printf '\n'
  .venv/bin/unrolled "$@"
}

.venv/bin/python scripts/sotu_corpus.py "$data"
unrolled train "$data" --fields president --minutes "$minutes"
unrolled generate --length 500 --temperature 0.7
unrolled generate --length 500 --temperature 0.7 --where "president=Abraham Lincoln"

cat <<'END'

The run is the newest folder under runs/; it can be copied to another machine. To go on:

  source .venv/bin/activate
  unrolled runs                                              what there is
  unrolled generate --prompt "My fellow " --samples 3        other beginnings
  unrolled generate --where "president=John F. Kennedy"      other presidents
  unrolled curate --best 1 --of 10 --by likelihood           the best of ten
  unrolled train YOUR_BOOK.txt                               your own text
END
