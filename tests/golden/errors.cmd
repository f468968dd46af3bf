o() { echo "\$ opsh $*"; opsh "$@"; echo "exit $?"; }
o lst
o --outptu x
o run
o run golden/fil
o run golden/fill
o run golden/fill prefix=n: count=x --target "$CACHE"
o run golden/fill prefix=n: count=11 --target "$CACHE"
o run golden/fill prefix=n: how=st --target "$CACHE"
o run golden/fill prefix=n: conut=3 --target "$CACHE"
o run golden/fill prefix=n --target "$CACHE"
o run golden/fill prefix=n: --target cache=redis://127.0.0.1:1
o --target "$CACHE" -e 'cache:set("s", 1) cache:lpush("s", 1)'
o --target "$CACHE" -e 'cache:flushdb()'
o --target "$CACHE" -e 'cache:nosuch()'
o --target "$CACHE" -e 'cache:get()'
o --target "$CACHE" -e 'cache:get {}'
o --target "$CACHE" -e 'guard(cache, { verb = "flushdb", count = 3, unit = "keys", sample = { "a", "b" }, note = "look" })'
o --target "$CACHE" -e 'guard(cache, { vreb = "x" })'
o --timeout 0.1 -e 'task.sleep(5)'
o -e 'f('
o -e 'nope.x = 1'
o -e 'local function f() error("from f") end local function g() f() end g()'
o -e 'error { code = 7 }'
o -e 'error(nil)'
o -e 'fail("%d of %s", 3, "x")'
o -e 'step("a", { verify = function() return false, "not there" end }, function() end)'
o -e 'step("a", { verfy = print }, function() end)'
o -e 'require "socket"'
o --approve local -e 'io.open("x", "w"):close()'
o -e 'os.remove "x"'
o --output jsonl -e 'fail "no"'
