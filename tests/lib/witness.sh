# shellcheck shell=bash disable=SC2034,SC2154 # names of test.sh and of those who source it
# witness.sh: what a plan must not do, seen from outside: every program that it and
# its children executed and every HTTP request that was sent, by strace; the files
# of a folder. Source it after test.sh. Owns $t_tmp/trace* only.

# traced COMMAND...: runs it under strace; its output in $out and $err (files), its exit
# code in $rc.
traced() {
	timeout -k 1 100 strace -f --seccomp-bpf -qq -s 4000 \
		-e trace=execve,sendto -o "$t_tmp/trace" "$@" </dev/null >"$out" 2>"$err"
	rc=$?
}

# writing: programs of the trace other than the first that aren't known to read only,
# and HTTP requests that aren't reads; a line each. Nothing: a plan may do that.
writing() {
	python3 - "$t_tmp/trace" <<-'EOT'
	import re, sys
	READS = {"ps", "inspect", "version", "logs", "stats", "info", "events", "top",
	         "images", "config", "port", "df"}
	VALUED = {"-H", "--host", "-c", "--context", "--config", "-f", "--file", "-p",
	          "--project-name", "--project-directory", "--env-file", "--profile",
	          "-l", "--log-level"}

	def verb(words):
	    while words and words[0].startswith("-"):
	        words = words[2 if words[0] in VALUED else 1:]
	    if words and words[0] in ("compose", "system", "container"):
	        return verb(words[1:])
	    return words[0] if words else "none"

	def harmless(argv):
	    name = argv[0].rsplit("/", 1)[-1]
	    if re.match(r"python[0-9.]*$", name) and len(argv) > 1:
	        return harmless(argv[1:])
	    if name in ("docker", "docker-compose"):
	        return verb(argv[1:]) in READS
	    if name == "ss":
	        return argv[1:] == ["-ltnpH"]
	    if name == "openssl":
	        return argv[1:3] == ["x509", "-noout"] and "-out" not in argv
	    return name in ("tail", "uname", "file", "ldconfig", "lsb_release")

	programs = 0
	for line in open(sys.argv[1], errors="replace"):
	    found = re.search(r'execve\("(.*?)", \[(.*?)\](?:,| <unf|\.\.\.)', line)
	    if found:
	        argv = re.findall(r'"((?:[^"\\]|\\.)*)"', found.group(2))
	        programs += 1
	        if programs > 1 and not harmless(argv):
	            print("ran", *argv)
	    found = re.search(r'sendto\(\d+, "((?!GET|HEAD|OPTIONS)[A-Z]+ /\S*)', line)
	    if found:
	        print("sent", found.group(1))
	if programs == 0:
	    print("no trace")
	EOT
}

# plan_only NAME...: `opsh plan NAME...` exits 0 (or $plan_exit: a check fails in a plan
# too), executes and sends reads only.
plan_only() {
	traced "$opsh" plan "$@"
	if [ "$rc" -ne "${plan_exit:-0}" ]; then
		t_fail "plan $*" "exit $rc: $(tail -n 5 "$out" "$err")"
	else
		t_pass
	fi
	t_is "plan $*: runs and sends reads only" "$(writing | sort -u)" ''
}

# files DIR...: every file with size, mode, times and contents, but for opsh's own state.
files() {
	find "$@" -path "$XDG_STATE_HOME" -prune -o -type f ! -name 'trace*' \
		-printf '%p %m %s %T@ %C@ ' -exec sha256sum {} \; | sort
}
