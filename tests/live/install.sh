#!/usr/bin/env bash
# shellcheck disable=SC2154,SC2317 # names of test.sh; functions called by name
# install.sh: `make install` into a folder, then opsh from there, moved away from
# where it was installed, with nothing of the build tree in use: -e, a binding,
# the shipped playbooks; `make uninstall` takes all of it away. Owns a throwaway
# folder and Redis. Must not install outside of it.

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"

dest="$t_tmp/de st" moved="$t_tmp/else where"
export XDG_STATE_HOME=$t_tmp/state XDG_DATA_HOME=$t_tmp/data HOME=$t_tmp
export MAKEFLAGS="" MAKELEVEL=""

installed() {
	find "$1" -mindepth 1 ! -type d | sed "s,^$1,," | sort
}

m() {
	make -s -C "$t_root" MODE=release "$@" >"$t_tmp/log" 2>&1
}

o() {
	(cd "$t_tmp" && timeout -k 1 20 "$moved/usr/bin/opsh" "$@" </dev/null 2>&1)
}

t_up redis
t_ok 'install' m install DESTDIR="$dest" PREFIX=/usr
t_ok 'the program' test -x "$dest/usr/bin/opsh"
t_is 'every shipped playbook' "$(cd "$dest/usr/share/opsh" &&
	find playbooks -type f | sort)" "$(cd "$t_root" &&
	find playbooks -type f -name '*.lua' | sort)"
t_is 'all can read it' "$(find "$dest" ! -perm -444)" ''
t_is 'nobody else can write it' "$(find "$dest" -perm /022)" ''
cp -R "$dest" "$moved"

t_is 'runs text' "$(o -e '1 + 1')" 2
t_match 'its version' "$(o --version)" 'opsh [0-9]*'
t_is 'finds a binding' "$(o -e 'cache "PING"')" PONG
t_is 'and another' "$(o -e 'json.encode { 1 }')" '[1]'
t_is 'nothing of the build tree is mapped' "$(o -e "
	cache 'PING'
	json.encode {}
	for line in io.lines '/proc/self/maps' do
		if line:find('$t_root', 1, true) then print(line) end
	end")" ''
t_is 'but what was installed is' "$(o -e "
	cache 'PING'
	local there = {}
	for line in io.lines '/proc/self/maps' do
		local name = line:match '/lib/opsh/(%w+)%.so'
		if name then there[name] = line:find('$moved', 1, true) ~= nil end
	end
	return there.redis")" true
for file in "$t_root"/playbooks/*/*.lua; do
	name=${file#"$t_root/playbooks/"}
	name=${name%.lua}
	t_match "lists $name" "$(o list)" "*$name *"
	t_match "describes $name" "$(o doc "$name")" "$name: *file *$moved/usr/share/*"
done
t_match 'runs one' "$(o run redis/stats; echo "$?")" '*exit 0 after*0'
t_match 'help' "$(o help)" '*usage: opsh*topics*'

# An older file of ours must not survive, nor anybody else's go.
echo mine >"$dest/usr/bin/other"
t_ok 'installs over itself' m install DESTDIR="$dest" PREFIX=/usr
t_ok 'uninstall' m uninstall DESTDIR="$dest" PREFIX=/usr
t_is 'leaves only what is not ours' "$(installed "$dest")" /usr/bin/other
t_is 'and no folder of ours' "$(find "$dest" -name 'opsh*')" ''
t_done
