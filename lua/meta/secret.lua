---@meta opsh.c.secret
-- secret: the documentation of the C module opsh.c.secret. The public module is
-- opsh.secret, which asks the environment, files and people. Read by editors;
-- never executed. Owns the words: the code is src/effect/secret.c.

---@class opsh.c.secret
local secret = {}

---A secret: prints as `[secret NAME]`, its value is for bindings only, is wiped
---when collected, and is masked wherever it would be shown or recorded.
---@param value string
---@param name string for messages
---@return userdata secret
---@return boolean masked false for a value under 8 bytes or a common word
function secret.new(value, name) end

---Is it such a secret? (A lazy one of opsh.secret is not.)
---@param value any
---@return boolean
function secret.is(value) end

return secret
