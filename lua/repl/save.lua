-- save: a session as a playbook: the entries that worked become its steps in order,
-- literals its parameters (repl.lift), targets its needs, variables of the session
-- locals of `run`. What can't stand in a playbook is left out and named. Makes text;
-- must not write a file or run anything.
local bytecode = require "run.bytecode"
local chunk = require "repl.chunk"
local env = require "run.env"
local history = require "repl.history"
local lex = require "repl.lex"
local lift = require "repl.lift"
local words = require "run.words"

local save = {}

local LOCALS = 150	-- Lua takes 200

-- The names that a chunk uses and sets as globals.
local function globals_of(text)
	local f = load(text, "=entry", "t", {})
	local reads, writes = {}, {}
	for _, use in ipairs(f and bytecode.globals(string.dump(f)) or {}) do
		local set = use.write and writes or reads
		if not set[use.name] then
			set[use.name] = true
			set[#set + 1] = use.name
		end
	end
	return reads, writes
end

-- As chunk.compile reads it: an expression or statements.
local function body_of(text)
	for _, pattern in ipairs { "^%s*=(.*)$", "^%s*return%f[%A](.*)$", "^(.*)$" } do
		local code = text:match(pattern)
		if code and load("return " .. code, "=entry", "t", {}) then
			return (code:gsub("^%s+", "")), true
		end
	end
	return (chunk.lift(text):gsub("^%s+", "")), false
end

-- Does it call anything itself, outside of the functions that it defines?
local function calls(code)
	local f = load(code, "=entry", "t", {})
	local main = require("run.dump").read(string.dump(f))
	for _, i in pairs(main.code) do
		if i.op == "CALL" or i.op == "TAILCALL" then return true end
	end
	return false
end

-- A name for a step: the first call of the entry.
local function title(text)
	local tokens = lex.tokens(text)
	for n, token in ipairs(tokens) do
		local sep, method = tokens[n + 1], tokens[n + 2]
		if token.kind == "name" then
			if sep and (sep.text == ":" or sep.text == ".") and method
				and method.kind == "name" then
				return token.text .. sep.text .. method.text
			elseif sep and (sep.text == "(" or sep.kind == "string"
				or sep.text == "{") then
				return token.text
			end
		end
	end
	return "entry"
end

-- Why an entry can't be part of a playbook; nil: it can.
local function why_not(s, text, reads, writes)
	if not history.keeps((text:gsub("^%s+", "")), s.mask) then
		return "it holds a secret"
	end
	for _, name in ipairs(writes) do
		if s.names[name] then return ("it replaces '%s'"):format(name) end
		if s.targets[name] then return ("it replaces target '%s'"):format(name) end
	end
	for _, name in ipairs(reads) do
		local result = name:match "^_(%d?)$"
		if result then
			if not s.results[#s.results - (tonumber(result) or 0)] then
				return ("'%s' is of no entry that is kept"):format(name)
			end
		elseif not (s.names[name] or s.targets[name] or s.variables[name]
			or writes[name]) then
			return ("'%s' is not known in a playbook"):format(name)
		end
	end
end

-- help is the session's: nobody misses it in a procedure.
local function asks_for_help(reads, s)
	for _, name in ipairs(reads) do
		if name == "help" then return not s.names.help end
	end
end

local function indented(text, by)
	for _, token in ipairs(lex.tokens(text)) do
		if token.kind == "string" and token.text:find "\n" then return text end
	end
	return (by .. text:gsub("\n", "\n" .. by)):gsub("[ \t]+\n", "\n")
end

local function add_variable(s, name)
	if s.variables[name] then return end
	s.variables[name] = true
	s.variables[#s.variables + 1] = name
end

-- `_` and its kind as locals of the step.
local function results_used(s, reads)
	local out = {}
	for _, name in ipairs(reads) do
		local back = name:match "^_(%d?)$"
		if back then
			local from = s.results[#s.results - (tonumber(back) or 0)]
			from.used = true
			out[#out + 1] = ("local %s = r%d"):format(name, from.n)
		end
	end
	return out
end

local function add_entry(s, n, text, gave)
	local code, expression = body_of(text)
	local whole = expression and "return " .. code or code
	local reads, writes = globals_of(whole)
	local why = why_not(s, text, reads, writes)
	if why then
		if not asks_for_help(reads, s) then
			s.left[#s.left + 1] = { n = n, why = why }
		end
		if gave then s.results[#s.results + 1] = false end
		return
	end
	for _, name in ipairs(reads) do
		if s.targets[name] then s.needs[name] = s.targets[name] end
	end
	for _, name in ipairs(writes) do add_variable(s, name) end
	local prefix = results_used(s, reads)
	local part = { n = n, writes = writes, prefix = prefix, gave = gave,
		expression = expression, title = title(text),
		code = lift.text(code, s.targets, s.params, s.p),
		guard = text:find "^%s*guard%s*[%(]" ~= nil,
		plain = not calls(whole) }
	s.parts[#s.parts + 1] = part
	if gave then s.results[#s.results + 1] = part end
end

-- A step's text: what it sets and gives comes back from the record when a run is
-- gone on with.
local function step_text(part, out)
	local names = table.concat(part.writes, ", ")
	local lines = {}
	for n, line in ipairs(part.prefix) do lines[n] = "      " .. line end
	local code = part.code
	local wanted = part.expression and (part.used or part.last)
	if part.plain and part.expression and not wanted then
		return		-- a look at a value
	elseif part.plain or part.guard then
		if #part.prefix > 0 then
			out[#out + 1] = "    do\n" .. table.concat(lines, "\n")
		end
		out[#out + 1] = indented((wanted and ("r%d = "):format(part.n) or "")
			.. code, "    ")
		if #part.prefix > 0 then out[#out + 1] = "    end" end
		return
	elseif part.expression then
		lines[#lines + 1] = indented("return " .. code, "      ")
	else
		lines[#lines + 1] = indented(code, "      ")
		if #part.writes > 0 then
			lines[#lines + 1] = "      return " .. names
		end
	end
	local left = wanted and ("r%d = "):format(part.n)
		or not part.expression and #part.writes > 0 and names .. " = " or ""
	out[#out + 1] = ("    %sstep(%q, function()\n%s\n    end)"):format(left,
		("%d %s"):format(part.n, part.title), table.concat(lines, "\n"))
end

local function literal(value)
	if type(value) == "string" then
		return (("%q"):format(value):gsub("\\\n", "\\n"))
	end
	return tostring(value)
end

local function head(s, name, about, out)
	out[#out + 1] = ("-- %s: saved from a session, %s.\n-- Say here what it is for "
		.. "and what it must not do; look at its parameters.\n-- Check it with "
		.. "`opsh check`, read it with `opsh doc`, try it with `opsh plan`.")
		:format(name, about)
	for _, note in ipairs(s.notes) do
		out[#out + 1] = "-- Note: " .. note:gsub("%c", " ")
	end
	out[#out + 1] = ("return {\n  name    = %q,\n  summary = %q,"):format(name,
		("Saved from a session: %s"):format(words.count(#s.parts, "entry"):gsub(
		"entrys", "entries")))
	local needs = {}
	for n, target in ipairs(words.sorted(s.needs)) do
		needs[n] = ("%s = %q"):format(target, s.needs[target])
	end
	out[#out + 1] = #needs > 0 and ("  needs   = { %s },"):format(
		table.concat(needs, ", ")) or "  needs   = {},"
	local example = { "opsh run " .. name }
	if #s.params > 0 then
		out[#out + 1] = "  params  = {"
		for _, param in ipairs(s.params) do
			local def = s.params[param]
			out[#out + 1] = ("    %s = { type = %q, default = %s,\n      help = "
				.. "%q },"):format(param, def.type, literal(def.default),
				"as it was in the session")
		end
		out[#out + 1] = "  },"
		example[2] = s.params[1] .. "=VALUE"
	end
	out[#out + 1] = ("  example = %q,\n"):format(table.concat(example, " "))
end

local function locals(s, out)
	local targets = words.sorted(s.needs)
	if #targets > 0 then
		local from = {}
		for n, name in ipairs(targets) do from[n] = s.t .. "." .. name end
		out[#out + 1] = ("    local %s = %s"):format(table.concat(targets, ", "),
			table.concat(from, ", "))
	end
	local names = table.move(s.variables, 1, #s.variables, 1, {})
	for _, part in ipairs(s.parts) do
		if part.expression and (part.used or part.last) then
			names[#names + 1] = "r" .. part.n
		end
	end
	if #names > 0 then
		out[#out + 1] = "    local " .. table.concat(names, ", ")
	end
	return #targets + #names
end

-- What `run` calls its arguments: a name that no entry uses.
local function free_name(used, ...)
	for _, name in ipairs { ... } do
		if not used[name] then return name end
	end
end

local function names_used(entries)
	local used = {}
	for _, entry in ipairs(entries) do
		for _, token in ipairs(lex.tokens(entry.text)) do
			if token.kind == "name" then used[token.text] = true end
		end
	end
	return used
end

local NOTE = "^%s*:%s*n[ote]*%s+(.+)$"

---The text of a playbook. entries: { n =, text =, worked =, gave = } in order.
---@param name string DOMAIN/VERB
---@param entries table[]
---@param config table of the session: its targets
---@param about string of which session it is
---@return string? text nil: nothing of it can be kept
---@return table found parts, params, left: { n =, why = }
function save.text(name, entries, config, about)
	local s = { parts = {}, params = {}, needs = {}, left = {}, notes = {},
		results = {}, variables = {}, names = env.names(), targets = {},
		mask = require("opsh.c.term").mask }
	local used = names_used(entries)
	s.t = free_name(used, "t", "targets", "run_targets")
	s.p = free_name(used, "p", "params", "run_params")
	for target, def in pairs(config.targets) do s.targets[target] = def.kind end
	for _, entry in ipairs(entries) do
		local note = entry.text:match(NOTE)
		if note and entry.worked then
			s.notes[#s.notes + 1] = note
		elseif entry.worked and not entry.text:find "^%s*:"
			and not chunk.empty(entry.text) then
			add_entry(s, entry.n, entry.text, entry.gave)
		end
	end
	if #s.parts == 0 then return nil, s end
	-- what the last entry gave is what the playbook gives
	local last = s.parts[#s.parts]
	last.last = last.expression and last.gave
	local out = {}
	head(s, name, about, out)
	local given = #s.params > 0 and { next(s.needs) and s.t or "_", s.p }
		or next(s.needs) and { s.t } or {}
	out[#out + 1] = ("  run = function(%s)"):format(table.concat(given, ", "))
	if locals(s, out) > LOCALS then
		require("run.fail").usage(":save: more than %d variables; save fewer "
			.. "entries, such as :save NAME 1-20", LOCALS)
	end
	for _, part in ipairs(s.parts) do step_text(part, out) end
	if last.last then out[#out + 1] = ("    return r%d"):format(last.n) end
	out[#out + 1] = "  end,\n}\n"
	for n = #s.parts, 1, -1 do	-- looks at a value that were left away
		local part = s.parts[n]
		if part.plain and part.expression and not (part.used or part.last) then
			table.remove(s.parts, n)
		end
	end
	return table.concat(out, "\n"), s
end

return save
