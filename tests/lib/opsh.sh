# shellcheck shell=bash disable=SC2034,SC2154 # names shared with those who source it
# opsh.sh: what most live tests share: opsh with its output and exit code, and what it
# must say. Source it after test.sh. Must not start anything; who gives opsh more words
# each time has an `o` of its own after it.

opsh=${OPSH:-$t_root/build/release/opsh}
out=$t_tmp/out err=$t_tmp/err
[ -x "$opsh" ] || { echo "'$opsh' is not built" >&2; exit 1; }
export XDG_STATE_HOME=$t_tmp/state HOME=$t_tmp PYTHONDONTWRITEBYTECODE=1

# o ARG...: opsh, its output in $out and $err, its exit code in $rc.
o() {
	timeout -k 1 120 "$opsh" "$@" </dev/null >"$out" 2>"$err"
	rc=$?
}

# exits NAME CODE
exits() {
	if [ "$rc" -eq "$2" ]; then
		t_pass
	else
		t_fail "$1" "exit $rc, expected $2: $(cat "$out" "$err")"
	fi
}

# says NAME PATTERN: on stdout, runs of blanks as one. tells: on stderr.
says() {
	t_match "$1" "$(tr -s ' ' <"$out")" "$2"
}

tells() {
	t_match "$1" "$(tr -s ' ' <"$err")" "$2"
}
