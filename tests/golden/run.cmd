opsh plan golden/fill prefix=n: --target "$CACHE"
opsh plan golden/fill prefix=n: --target "$CACHE" --detailed-exitcode --quiet
echo "exit $?"
opsh run golden/fill prefix=n: --target "$CACHE"
opsh run golden/fill prefix=n: --target "$CACHE" --output jsonl
opsh timeline last
opsh timeline last --reads
opsh --output jsonl timeline last
opsh verify last
opsh runs
opsh runs --last 1
cat >fails.lua <<'LUA'
step("one", { undo = function() cache:unlink "one" end },
  function() cache:set("one", 1) end)
step("zero", { undo = function() cache:set("zero", 0) end },
  function() cache:set("zero", 1) end)
step("two", function() error "no" end)
LUA
opsh --target "$CACHE" run fails.lua
opsh --target "$CACHE" run fails.lua --undo
opsh timeline last
for dir in "$XDG_STATE_HOME"/opsh/runs/01*; do
	sed -i 's/SET n:1/SET n:9/' "$dir/journal.jsonl"
	opsh verify "${dir##*/}"
done
