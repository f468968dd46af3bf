-- json: strict JSON, integers exact. The C module opsh.c.json as playbooks
-- require it.
return require "opsh.c.json"
