#!/bin/bash
# readme.sh: what the README shows works as it stands: its playbook is checked,
# planned and run against a real Redis, its one-line commands are run, the paths
# it names are there.
# shellcheck source=tests/lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"
t_up redis
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

# The commands that begin with `opsh` in indented blocks, against our server.
cli set flights::UAL123 x ex 500
while IFS= read -r line; do
	line=${line//redis:\/\/localhost:6379/$OPSH_REDIS_URL}
	t_ok "README: $line" env PATH="$(dirname "$opsh"):$PATH" \
		timeout -k 1 20 bash -c "$line"
done < <(sed -n 's/^    \(opsh .*\)/\1/p' "$readme")

while IFS= read -r path; do
	t_ok "README names $path" test -e "$t_root/$path"
done < <(sed -n 's/^| `\([^`]*\)`.*/\1/p' "$readme" | grep -v ' ')
t_done
