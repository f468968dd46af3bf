#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2034,SC2154,SC2317 # Lua in quotes; names of test.sh;
# functions called by name
# services.sh: what the playbooks of services/ promise, on real servers: health of
# eight services in the time of the slowest deadline; a service that is down is
# found with its cause, and restarted; a roll stops when errors rise; a plan leaves
# all as it was. Owns throwaway servers and folders only.
#     services.sh [FUNCTION...]      all of them, or these

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"
# shellcheck source=../lib/opsh.sh
. "$t_here/opsh.sh"

between() {
	awk -v a="$1" -v lo="$2" -v hi="$3" 'BEGIN { exit !(a >= lo && a <= hi) }'
}

free_port() {
	python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# shellcheck source=../lib/witness.sh
. "$t_here/witness.sh"
# shellcheck source=services_local.sh
. "$t_here/../live/services_local.sh"
# shellcheck source=services_compose.sh
. "$t_here/../live/services_compose.sh"

# --- health -----------------------------------------------------------------------

# An HTTP server of one file: GET /N answers after N milliseconds.
slow_server() {
	cat >"$t_tmp/slow.py" <<-'EOT'
	import http.server, socketserver, sys, time
	class Handler(http.server.BaseHTTPRequestHandler):
	    def do_GET(self):
	        time.sleep(int(self.path.strip("/") or 0) / 1000)
	        self.send_response(200)
	        self.end_headers()
	        self.wfile.write(b'{"status":"UP","components":{"db":{"status":"UP"}}}')
	    def log_message(self, *a): pass
	class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
	    daemon_threads, request_queue_size = True, 128
	server = Server(("127.0.0.1", 0), Handler)
	with open(sys.argv[1] + ".new", "w") as f: f.write(str(server.server_port))
	import os; os.rename(sys.argv[1] + ".new", sys.argv[1])
	server.serve_forever()
	EOT
	python3 "$t_tmp/slow.py" "$t_tmp/slow.port" &
	t_reap $!
	disown $!
	t_ok 'the slow server is up' t_within 10 test -s "$t_tmp/slow.port"
	slow_port=$(cat "$t_tmp/slow.port")
}

eight() {
	local dead
	dead=$(free_port)
	cat >eight.lua <<-EOT
	return {
	  targets = {
	    gateway = "$OPSH_NGINX_URL", cache = "$OPSH_REDIS_URL",
	    shop = { url = "$OPSH_NGINX_TLS_URL", ca = "$OPSH_NGINX_TLS_CA" },
	    old = { url = "$OPSH_NGINX_TLS_WRONGHOST_URL", ca = "$OPSH_NGINX_TLS_CA" },
	    search = "http://127.0.0.1:$slow_port",
	    billing = "$OPSH_NGINX_SILENT_URL", stock = "http://127.0.0.1:$dead",
	    orchestrator = { kind = "compose", file = "nowhere.yml",
	      docker_host = "unix:///nowhere.sock" },
	  },
	  services = {
	    gateway = { target = "gateway", health = "/health",
	      depends = { "cache", "stock" } },
	    cache = { target = "cache" },
	    shop = { target = "shop", health = "/health" },
	    ["old-shop"] = { target = "old", health = "/health" },
	    search = { target = "search", health = "/700",
	      thresholds = { slow = 0.5 } },
	    billing = { target = "billing", health = "/health", timeout = 2 },
	    stock = { target = "stock", health = "/health" },
	    ledger = { target = "orchestrator" },
	  },
	}
	EOT
	chmod 600 eight.lua
}

# state SERVICE: its state in the last jsonl output.
state() {
	python3 -c '
import json, sys
for line in open(sys.argv[1]):
    line = json.loads(line)
    for row in line["value"] if line["type"] == "result" else []:
        if row["service"] == sys.argv[2]: print(row["state"])' "$out" "$1"
}

health_of_eight() {
	local began seconds
	slow_server
	eight
	began=$(date +%s.%N)
	o run services/health --targets eight.lua timeout=1
	seconds=$(awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { print b - a }')
	exits 'health of eight, three of them bad' 1
	t_ok "in the time of the slowest deadline, 2 s ($seconds)" \
		between "$seconds" 1.9 2.7
	says 'verdict first' "3 of 8 down: billing, old-shop, stock · 1 slow: search \
· 1 not checked: ledger*"
	says 'one table' '*(8 rows)'
	says 'the dead one' '*stock down*refused*'
	says 'the silent one' '*billing down*2 s*'
	says 'the certificate' '*old-shop down*TLS: *certificate*'
	says 'the slow one' '*search slow [78]*0.[78] s, limit 0.5 s*'
	says 'what can not be asked' "*ledger not checked *kind 'compose'*"
	tells 'the dead orchestrator' '*orchestrator does not answer*'
	tells 'what to run next' '*opsh run services/triage*'
	o run services/health --targets eight.lua timeout=1 --output jsonl
	exits 'health as JSON lines' 1
	t_ok 'each line parses, the rows are as the schema says' \
		python3 "$t_here/../live/services_schema.py" \
		"$t_root/lua/help/health.md" "$out"
	t_is 'up' "$(state gateway) $(state cache) $(state shop)" 'up up up'
	o run services/health --targets eight.lua only=gateway,cache
	exits 'health of those that are well' 0
	says 'all up' 'all 2 up*'
	o run services/health --targets eight.lua only=search strict=true
	exits 'strict: slow fails' 1
	o run services/health --targets eight.lua only=gatway
	exits 'a name that is not there' 2
	tells 'and the names that are' "*no service 'gatway'*billing, cache*"
}

health_of_bodies() {
	eight
	touch "$OPSH_NGINX_ROOT/switch/down"
	o run services/health --targets eight.lua only=gateway,cache
	exits 'a service that says DOWN' 1
	says 'its word' '*gateway down*status 503: says DOWN*'
	o run services/triage --targets eight.lua timeout=1
	exits 'triage without an orchestrator' 0
	says 'the root comes first' '*begin with *'
	says 'the gateway follows from what it depends on' \
		'*gateway down dependency stock, which it depends on*'
	rm -f "$OPSH_NGINX_ROOT/switch/down"
}

# Fifty services of half a second each, on one thread.
health_of_fifty() {
	local n began seconds
	{
		echo "return { targets = { s = 'http://127.0.0.1:$slow_port' }, services = {"
		for n in $(seq 50); do
			echo "s$n = { target = 's', health = '/500' },"
		done
		echo '} }'
	} >fifty.lua
	chmod 600 fifty.lua
	began=$(date +%s.%N)
	o run services/health --targets fifty.lua
	seconds=$(awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { print b - a }')
	exits 'health of fifty' 0
	t_ok "at once: 50 x 0.5 s in $seconds s" between "$seconds" 0.5 2
}

mkdir "$t_tmp/work"
cd "$t_tmp/work" || exit 1
if [ $# -gt 0 ]; then
	t_up redis nginx
	for name; do "$name"; done
	t_done
fi
t_up redis nginx
health_of_eight
health_of_bodies
health_of_fifty
services_on_this_machine
[ -n "${NO_DOCKER:-}" ] || services_on_compose
t_done
