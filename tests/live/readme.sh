#!/bin/bash
# readme.sh: what the README shows works as it stands: its playbook is checked,
# planned and run against a real Redis, its one-line commands are run, the paths
# it names are there, its tables are those of `opsh list` and of bindings.def. The
# scripts of examples/ for HTTP, processes and files as well.
# shellcheck source=tests/lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"
t_up redis nginx booking postgres
opsh=$t_root/build/release/opsh
export XDG_STATE_HOME=$t_tmp/state
readme=$t_root/README.md
cli() { redis-cli -p "$OPSH_REDIS_PORT" "$@" > /dev/null; }
o() { timeout -k 1 20 "$opsh" "$@" < /dev/null 2>&1; }

mkdir -p "$t_tmp/redis"
sed -n '/^```lua$/,/^```$/{/^```/!p}' "$readme" > "$t_tmp/redis/expire-sessions.lua"
for n in 1 2 3; do cli set "sess:$n" x; done
cli set sess:4 x ex 60
file=$t_tmp/redis/expire-sessions.lua
t_match "the playbook is checked" "$(o check "$file")" "*0 errors, 0 warnings*"
url="cache=$OPSH_REDIS_URL"
t_match "... planned" "$(o --target "$url" plan "$file")" "*3 writes withheld*"
out=$(o --target "$url" run "$file" ttl=30m); rc=$?
t_match "... asks" "$out" "*--approve cache*"
t_is "... with exit 14" "$rc" 14
t_match "... run" "$(o --target "$url" run "$file" ttl=30m --approve cache)" \
	"*exit 0*3 writes*"
t_is "... and has done it" "$(redis-cli -p "$OPSH_REDIS_PORT" ttl sess:3)" 1800

t_ok "... the record of each read says its step" grep -rq \
	'"type":"read",.*"step":"find",.*"verb":"TTL"' "$XDG_STATE_HOME/opsh/runs"

# The commands that begin with `opsh` in indented blocks, against our servers.
cli set flights::UAL123 x ex 500
export OPSH_TARGETS=$OPSH_BOOKING_TARGETS PGPASSWORD=$OPSH_POSTGRES_PASSWORD
while IFS= read -r line; do
	line=${line//redis:\/\/localhost:6379/$OPSH_REDIS_URL}
	line=${line//postgresql:\/\/localhost\/postgres/$OPSH_POSTGRES_URL}
	line=${line//http:\/\/localhost:8080/$OPSH_BOOKING_GATEWAY_URL}
	n=$((n + 1))
	t_ok "README: $line" env PATH="$(dirname "$opsh"):$PATH" \
		timeout -k 1 20 bash -c "$line"
done < <(sed -n 's/^    \(opsh .*\)/\1/p' "$readme")

t_ok "README has commands of all parts" test "$n" -ge 14

# table HEAD: the cells of the table's first two columns, "first|second".
table() {
	sed -n "/^| $1 |/,/^\$/s/^| \([^|]*\) | \([^|]*\) |.*/\1|\2/p" "$readme" |
		sed -e 1d -e '/^---/d' -e 's/`//g'
}
t_is "README: the playbooks, as opsh list has them" "$(table playbook)" \
	"$(o list --output jsonl | python3 -c '
import json, sys
for line in sys.stdin:
    if line.startswith("{\"type\":\"row"):
        row = json.loads(line)["value"]
        print(row["name"] + "|" + row["summary"])')"
t_is "README: the kinds, as bindings.def has them" \
	"$(table kind | cut -d '|' -f 1 | sort)" "$(sed -n \
	's/^\(BINDING\|KIND\)(\([a-z]*\), "[a-z].*/\2/p' \
	"$t_root/src/bind/bindings.def" | sort)"
for system in "$t_root"/examples/systems/*/; do
	t_ok "README names $(basename "$system")" grep -q "$(basename "$system")" \
		"$readme"
	t_ok "... which is right" "$opsh" check "$system/opsh.lua"
done

# The scripts.
scripts=$t_root/examples/scripts
t_match "latency" "$(o run "$scripts/latency.lua" /health 5 --target \
	"gateway=$OPSH_BOOKING_GATEWAY_URL")" '*total *(5 rows)*status 200: 5 times*'
head -c 3145728 /dev/zero >"$t_tmp/redis/three"
out=$(o run "$scripts/disk.lua" "$t_tmp")
t_match "disk" "$out" "*3.0  $t_tmp/redis*disk: * % full, * MiB free"
out=$(CA_FILE=$OPSH_NGINX_TLS_CA o run "$scripts/certificates.lua" \
	"${OPSH_NGINX_TLS_URL#https://}" "${OPSH_NGINX_TLS_EXPIRED_URL#https://}" \
	127.0.0.1:1)
t_match "certificates: no answer" "$out" "*127.0.0.1:1 *cannot connect*"
t_match "certificates: expired" "$out" \
	"*${OPSH_NGINX_TLS_EXPIRED_URL#https://} *-*expired*"
t_match "certificates: the last is well" "$(printf '%s\n' "$out" |
	grep "${OPSH_NGINX_TLS_URL#https://}")" "*[1-9]*Z"

while IFS= read -r path; do
	t_ok "README names $path" test -e "$t_root/$path"
done < <(sed -n '/^| path/,/^$/s/^| `\([^`]*\)`.*/\1/p' "$readme")
t_done
