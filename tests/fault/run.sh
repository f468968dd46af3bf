#!/bin/sh
# run.sh [FILE...]: every *_test.py beside this file, or those given. Last line:
# N passed, N failed.
here=$(cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
[ $# -gt 0 ] || set -- "$here"/*_test.py
exec "$here/../lib/pytests.sh" "$@"
