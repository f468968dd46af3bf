#!/bin/sh
# run.sh [FILE...]: every *_test.py beside this file, or those given; the sum of
# what they count is the last line: N passed, N failed. How they are run is
# tests/lib/pytests.sh.
here=$(cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
[ $# -gt 0 ] || set -- "$here"/*_test.py
exec "$here/../lib/pytests.sh" "$@"
