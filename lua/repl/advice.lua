-- advice: what to try after an error, in words that can be typed here: one row a
-- kind. Owns that table. Looks at the error, the entry and the names that there are;
-- runs nothing.
local words = require "run.words"

local advice = {}

-- --- names that are nearly right ---------------------------------------------------

local function globals(ctx)
	local names = require("run.env").names()
	local ok, config = pcall(ctx.config or function() return {} end)
	for name in pairs(ok and config.targets or {}) do names[name] = true end
	for name in next, ctx.env or {} do
		if type(name) == "string" then names[name] = true end
	end
	return names
end

-- What stands after `x.` or `x:` is what completion would offer.
local function members(ctx, text)
	local complete = require "repl.complete"
	local ok, found = pcall(complete.complete, text, #text, ctx)
	local names = {}
	for _, candidate in ipairs(ok and found and found.candidates or {}) do
		names[(candidate.text:gsub("%W+$", ""))] = true
	end
	return names
end

local function near(name, names)
	names[name] = nil
	local best = words.nearest(name, names)
	return best
end

-- "attempt to call a nil value (method 'gett')"
local function misspelt(e, ctx, place, text)
	local kind, name = tostring(e.message):match "a nil value %((%l+) '([^']*)'%)"
	if not kind then return nil end
	if kind == "global" then
		local best = near(name, globals(ctx))
		if best then return { ("%s (there is no '%s')"):format(best, name) } end
		local at = text and text:find("%f[%w_]" .. name .. "%f[^%w_]%s*=[^=]")
		return not at and { (":targets, if '%s' is to be one"):format(name) }
			or nil
	end
	if not place or not place.column then return nil end
	local before = text:sub(1, place.from + place.column - 2)
	local names = members(ctx, before)
	local best = near(name, names)
	if best then
		return { ("%s%s"):format(before:match "[%w_.:]*$", best) }
	end
	return next(names) and { ("TAB after %s lists what there is"):format(
		before:match "[%w_.:]+$" or "it") } or nil
end

-- --- by kind -------------------------------------------------------------------------

local function name_of(e)
	return e.target == "local" and "sh" or e.target or "TARGET"
end

local function verb_of(e) return (tostring(e.op or "VERB"):lower()) end

-- Each: what to try, and whether the error's own hint, which speaks of the command
-- line, is left out.
local BY_KIND = {}

function BY_KIND.refused(e)
	if e.code == "MODE" then
		return { ":write 10m REASON, then the same again" }, true
	elseif e.code == "ROLE" then
		return { (":targets shows who '%s' is"):format(name_of(e)) }
	elseif e.code == "25006" then
		return { name_of(e) .. ":exec(…) for what writes" }, true
	end
end

function BY_KIND.guard(e)
	return { ("guard(%s, { verb = %q, count = N }), then the same again"):format(
		name_of(e), verb_of(e)) }, true
end

function BY_KIND.connect(e)
	return { e.target and (":targets %s: address, and is it up?"):format(e.target)
		or ":targets: addresses, and are they up?" }
end
BY_KIND.tls = BY_KIND.connect

function BY_KIND.auth(e)
	return { (":targets: user and password of '%s'"):format(name_of(e)) }
end

function BY_KIND.timeout(e)
	if e.phase == "connect" or e.phase == "dns" then return BY_KIND.connect(e) end
	return { "{ timeout = SECONDS } as the call's last argument" }
end

function BY_KIND.changed(e)
	return { (":targets, then :connect %s takes it as it is"):format(name_of(e)) },
		true
end

function BY_KIND.busy() return { ":help locks; opsh locks tells who holds it" } end

function BY_KIND.unknown(e)
	return { ("look at '%s' before you send it again"):format(name_of(e)) }
end

function BY_KIND.withheld()
	return { "expect = VALUE in the call, for the plan to go on with" }, true
end

function BY_KIND.limit(e)
	if e.code == "ENOMEM" then return { "less at once: rows, scan, lines" } end
end

function BY_KIND.journal() return { "disk space and rights of the state folder" } end

---What to try.
---@param e any an error object, or a table with kind and message
---@param ctx table env, config
---@param place? table of repl.caret
---@param text? string the entry
---@return string[] tries, boolean no_hint the error's hint is of no use here
function advice.of(e, ctx, place, text)
	local tries, no_hint
	if e.kind == "lua" or e.kind == "usage" then
		tries = misspelt(e, ctx, place, text)
	elseif BY_KIND[e.kind] then
		tries, no_hint = BY_KIND[e.kind](e)
	end
	return tries or {}, no_hint or false
end

return advice
