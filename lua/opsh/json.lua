-- json: strict JSON, integers exact. The C module opsh.c.json as playbooks
-- require it; described in lua/meta/json.lua. Must not add to it: what is
-- wanted in Lua is wanted by the runner too.
return require "opsh.c.json"
