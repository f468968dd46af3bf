#!/usr/bin/env bash
# monitoring.sh: monitoring/check against a real Prometheus and against the pages of
# metrics of real servers: what is critical, what is fine, what can't be judged.
# Owns its targets files. Last line: N passed, N failed.
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=../lib/test.sh
. "$here/../lib/test.sh"
# shellcheck source=../lib/witness.sh
. "$here/../lib/witness.sh"
OPSH=${OPSH:-$t_root/build/release/opsh}
export XDG_STATE_HOME=$t_tmp/state
t_up nginx prometheus
t_ok "the first scrape is in" t_within 20 eval 'curl -s \
	"$OPSH_PROMETHEUS_URL/api/v1/query?query=up" | grep -q "\"value\""'

# targets FILE PROMETHEUS THRESHOLDS
targets() {
	cat >"$1" <<EOF
return { environment = "test", targets = {
  web = { kind = "http", url = "$OPSH_NGINX_URL" },
  $2
}, services = { web = { target = "web", health = "/health",
  metrics = "/metrics" } }, thresholds = { $3 } }
EOF
}
o() {
	timeout -k 1 60 "$OPSH" "$@" </dev/null 2>&1
}
server="prometheus = { kind = \"http\", url = \"$OPSH_PROMETHEUS_URL\" },"
fine='up = { query = "min(up{job=\"prometheus\"})", below = 1, severity = "P0" },'
bad='seven = { query = "vector(7)", above = 5, severity = "P1" },
  later = { query = "max(up)", above = 0, minutes = 600, severity = "P1" },
  soft = { query = "vector(7)", above = 5, severity = "P3" },
  none = { query = "no_such_metric", above = 1 },'

targets "$t_tmp/fine.lua" "$server" "$fine"
out=$(o --targets "$t_tmp/fine.lua" run monitoring/check only=up); rc=$?
t_is "a threshold that holds: exit" "$rc" 0
t_match "... is ok" "$out" "*up * ok *"

targets "$t_tmp/bad.lua" "$server" "$fine $bad"
out=$(o --targets "$t_tmp/bad.lua" run monitoring/check); rc=$?
t_is "a critical one: exit" "$rc" 1
t_match "... is told" "$out" "*seven * critical *"
t_match "... one that has not lasted is pending" "$out" "*later * pending *"
t_match "... one that is no matter of life is a warning" "$out" "*soft * warning *"
t_match "... one without data says so" "$out" "*none * no data *"
t_match "... the error names it" "$out" "*over the limit: *seven*"
t_match "... the server's own alerts are there" "$out" "*alert of Prometheus*"

timeout -k 1 60 "$OPSH" --targets "$t_tmp/bad.lua" --output jsonl \
	run monitoring/check </dev/null >"$t_tmp/out.jsonl" 2>/dev/null
t_ok "each line of jsonl parses" python3 -c '
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
assert any("seven" in json.dumps(row) for row in rows), rows' "$t_tmp/out.jsonl"

metric=$(curl -s "$OPSH_NGINX_URL/metrics" | grep -v '^#' | grep -v '{' | head -n 1)
name=${metric%% *}
targets "$t_tmp/pages.lua" "" "low = { query = \"$name\", below = 1e300,
  severity = \"P1\" }, high = { query = \"$name\", above = 1e300 },"
out=$(o --targets "$t_tmp/pages.lua" run monitoring/check window=0.5s); rc=$?
t_is "by the services' own pages: exit" "$rc" 1
t_match "... the one that breaks its limit" "$out" "*low * critical *"
t_match "... the one that holds" "$out" "*high * ok *"
out=$(o --targets "$t_tmp/pages.lua" plan monitoring/check window=0.5s)
t_match "a plan has nothing to write" "$out" "*plan: nothing to write*"
opsh=$OPSH out=$t_tmp/out err=$t_tmp/err
mkdir "$t_tmp/cwd"
cd "$t_tmp/cwd" || exit 1
before=$(files "$t_tmp/cwd" "$t_tmp"/*.lua)
export OPSH_TARGETS=$t_tmp/fine.lua
plan_only monitoring/check only=up
for name in bad pages; do
	OPSH_TARGETS=$t_tmp/$name.lua
	plan_exit=1 plan_only monitoring/check window=0.5s
done
unset OPSH_TARGETS
t_is "plans: files are as they were" "$(files "$t_tmp/cwd" "$t_tmp"/*.lua)" \
	"$before"
cd "$t_root" || exit 1
out=$(o --targets "$t_tmp/pages.lua" run monitoring/check only=nothing); rc=$?
t_is "a threshold that is not there: exit" "$rc" 3
t_match "... is named" "$out" "*no threshold 'nothing'*"

t_done
