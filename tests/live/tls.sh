#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154 # JSON programs; names of test.sh and the stack
# tls.sh: what tls/expiry promises, on real servers: nginx and Redis with good and
# faulty certificates, files, hosts that are dead. Compared with what openssl
# says. Owns throwaway servers and folders only. Last line: N passed, N failed.

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"
# shellcheck source=../lib/witness.sh
. "$t_here/witness.sh"
# shellcheck source=../lib/opsh.sh
. "$t_here/opsh.sh"

# rows PROGRAM: of the result in $out, `r` by the holder's name; prints.
rows() {
	python3 - "$out" "$1" <<-'EOF'
		import json, sys
		r = {}
		for line in open(sys.argv[1]):
		    value = json.loads(line)
		    if value["type"] == "result":
		        for row in value["value"]:
		            for holder in row["held_by"]:
		                r[holder.split(" ", 1)[1]] = row
		exec("print(" + sys.argv[2] + ")")
	EOF
}

# days FILE: what openssl says of it.
days() {
	echo $((($(date -d "$(openssl x509 -noout -enddate -in "$1" |
		cut -d= -f2)" +%s) - $(date +%s)) / 86400))
}

# near NAME GOT WANTED: days, which change while we look.
near() {
	if [ -n "$2" ] && [ $(($2 - $3)) -ge -1 ] && [ $(($2 - $3)) -le 1 ]; then
		t_pass
	else
		t_fail "$1" "got '$2', expected '$3'"
	fi
}

t_up nginx redis-tls
silent=${OPSH_NGINX_SILENT_URL##*/}
dir=$(dirname -- "$OPSH_NGINX_TLS_CA")
tls_dir=$(dirname -- "$OPSH_REDIS_TLS_CA")
good=${OPSH_NGINX_TLS_URL##*/}
expired=${OPSH_NGINX_TLS_EXPIRED_URL##*/}
soon=${OPSH_NGINX_TLS_SOON_URL##*/}

# targets FILE NAME...: a targets file of these web_tls* and Redis.
targets() {
	local file=$1 name url
	shift
	{
		echo 'return { targets = {'
		for name; do
			url=OPSH_NGINX_TLS_$(printf %s "$name" | tr '[:lower:]' '[:upper:]')_URL
			[ "$name" != good ] || url=OPSH_NGINX_TLS_URL
			printf '\tweb_%s = { url = "%s", ca = "%s" },\n' "$name" \
				"${!url}" "$OPSH_NGINX_TLS_CA"
		done
		printf '\tplain = "%s", cache = { url = "%s", ca = "%s" },\n' \
			"$OPSH_NGINX_URL" "$OPSH_REDIS_TLS_URL" "$OPSH_REDIS_TLS_CA"
		echo '}, services = {'
		printf '\tsite = { target = "plain", tls = "%s" },\n' "$good"
		echo '} }'
	} >"$file"
}

targets "$t_tmp/all.lua" good expired wronghost selfsigned soon
began=$(date +%s.%N)
o run tls/expiry --targets "$t_tmp/all.lua" --output jsonl \
	addresses="127.0.0.1:1,$silent" timeout=1 warn=20
took=$(awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { print b - a }')
t_is 'faulty certificates: exit' "$rc" 1
t_is 'in the time of the slowest' \
	"$(awk -v t="$took" 'BEGIN { print (t < 2.0) }')" 1
t_ok 'each line is JSON' python3 -c 'import json, sys
for line in open(sys.argv[1]): json.loads(line)' "$out"
t_is 'states' "$(rows '" ".join(r[n]["state"] for n in ("web_good",
	"web_expired", "web_wronghost", "web_selfsigned", "web_soon", "cache",
	"127.0.0.1:1", "'"$silent"'"))')" \
	'ok expired untrusted untrusted critical ok unknown unknown'
t_is 'a plain target has none' "$(rows '"plain" in r')" False
t_is 'one address, all that hold it' \
	"$(rows '", ".join(r["site"]["held_by"])')" 'target web_good, service site'
# the throwaway CA ends before what it signed
near 'days of the chain' "$(rows 'r["web_good"]["days_left"]')" \
	"$(days "$dir/ca.crt")"
t_match 'and that it is the chain' "$(rows 'r["web_good"]["problem"]')" \
	'*throwaway CA*ends first*'
near 'days as openssl says: soon' "$(rows 'r["web_soon"]["days_left"]')" \
	"$(days "$dir/soon.crt")"
near 'days as openssl says: Redis' "$(rows 'r["cache"]["days_left"]')" \
	"$(days "$tls_dir/ca.crt")"
t_match 'names' "$(rows '" ".join(r["web_good"]["names"])')" '*localhost*'
t_match 'the host it is for' "$(rows 'r["web_wronghost"]["names"]')" \
	'*elsewhere.invalid*'
t_is 'why it is not trusted: host' "$(rows 'r["web_wronghost"]["code"]')" \
	HOSTNAME
t_is 'why it is not trusted: issuer' "$(rows 'r["web_selfsigned"]["code"]')" \
	UNTRUSTED
t_match 'issuer' "$(rows 'r["web_good"]["issuer"]')" '*opsh throwaway CA*'
t_match 'a dead port says why' "$(rows 'r["127.0.0.1:1"]["problem"]')" \
	'*127.0.0.1:1*refused*'
t_match 'the failure names them' "$(cat "$out")" '*certificates are not good*'

o run tls/expiry --targets "$t_tmp/all.lua"
t_match 'as a table: the verdict first' "$(head -n 1 "$out")" \
	'1 of 6 expired: *'"$expired"'*1 critical: *'"$soon"'*2 untrusted: *'
t_match 'the worst on top' "$(sed -n 4p "$out")" 'expired *'

targets "$t_tmp/good.lua" good
o run tls/expiry --targets "$t_tmp/good.lua" warn=20
t_is 'good ones: exit' "$rc" 0
t_match 'all are good' "$(head -n 1 "$out")" 'all 2 certificates are good'
o run tls/expiry --targets "$t_tmp/good.lua" warn=10000
t_is 'a warning is no failure' "$rc" 0
t_match 'but is told' "$(head -n 1 "$out")" '2 of 2 warning: *'
o run tls/expiry --targets "$t_tmp/good.lua" critical=10000
t_is 'the limit is a parameter' "$rc" 1
o run tls/expiry --targets "$t_tmp/good.lua" addresses=127.0.0.1:1
t_is 'a dead host is a row, not a stop' "$rc" 0
o run tls/expiry --targets "$t_tmp/good.lua" addresses=127.0.0.1:1 strict=true
t_is 'unless asked for' "$rc" 1

targets "$t_tmp/old.lua" expired wronghost selfsigned
o run tls/expiry --targets "$t_tmp/old.lua" verify=false only=web_wronghost,cache
t_is 'dates only, and only these' "$rc" 0
o run tls/expiry --targets "$t_tmp/old.lua" verify=false
t_is 'an expired one is expired' "$rc" 1

# --- files ---------------------------------------------------------------------
mkdir "$t_tmp/pem" "$t_tmp/pem/deep"
cat "$dir/good.key" "$dir/good.crt" "$dir/ca.crt" >"$t_tmp/pem/chain.pem"
cp "$dir/soon.crt" "$t_tmp/pem/deep/a b\$(x).pem"
echo 'no certificate' >"$t_tmp/pem/none.txt"
echo 'return { targets = {} }' >"$t_tmp/empty.lua"
o run tls/expiry --targets "$t_tmp/empty.lua" --output jsonl \
	"files=$t_tmp/pem/**/*.pem,$t_tmp/pem/none.txt"
t_is 'files: exit' "$rc" 1
near 'files: days as openssl says' \
	"$(rows 'r["'"$t_tmp"'/pem/deep/a b$(x).pem"]["days_left"]')" \
	"$(days "$dir/soon.crt")"
t_is 'each certificate of a chain is a row' \
	"$(grep -o "pem/chain.pem ([0-9])" "$out" | sort -u)" 'pem/chain.pem (2)'
t_match 'what is none says so' \
	"$(rows 'r["'"$t_tmp"'/pem/none.txt"]["problem"]')" \
	'*holds no certificate*'
t_is 'the key went nowhere' "$(grep -rc 'PRIVATE KEY' "$out" "$err" \
	"$XDG_STATE_HOME" | grep -vc ':0$')" 0
o run tls/expiry --targets "$t_tmp/empty.lua" "files=$t_tmp/pem/chain.pem"
t_is 'a good file: exit' "$rc" 0

o run tls/expiry --targets "$t_tmp/empty.lua"
t_is 'nothing to check: exit' "$rc" 3
t_match 'says what to give' "$(cat "$err")" '*addresses=HOST:PORT*'

# --- a plan ----------------------------------------------------------------------
before=$(files "$t_tmp/pem" "$t_tmp"/*.lua)
export OPSH_TARGETS=$t_tmp/good.lua
plan_only tls/expiry
plan_exit=1 plan_only tls/expiry addresses=127.0.0.1:1 \
	"files=$t_tmp/pem/**/*.pem"
OPSH_TARGETS=$t_tmp/all.lua
plan_exit=1 plan_only tls/expiry timeout=1
t_is 'plans: files are as they were' "$(files "$t_tmp/pem" "$t_tmp"/*.lua)" \
	"$before"
t_done
