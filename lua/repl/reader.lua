-- reader: from keys to a whole entry: continuation lines, TAB, Ctrl-C and Ctrl-D.
-- Owns what was typed of an entry so far; must not run any of it: completion
-- evaluates nothing, and an entry is compiled only to see whether it is whole.
local chunk = require "repl.chunk"
local prompt = require "repl.prompt"

local reader = {}

-- TAB. That nothing is found must not end the line.
local function complete(ctx, before, text, cursor)
	local ok, e = pcall(require("repl.tab").press, ctx, before, text, cursor)
	if not ok then
		require("opsh.log").debug("completion failed: " .. require("run.fail")
			.text(e))
	end
end

-- One line: its text, or nil and why there is none.
local function read_line(ctx, shown, before, text)
	local line = require "opsh.c.line"
	while true do
		local event, typed, cursor = line.read(shown, text or "")
		if event ~= "complete" then
			return event == "line" and typed or nil, event
		end
		complete(ctx, before, typed, cursor)
		text = nil
	end
end

-- Is it whole: a command, nothing to run, Lua that can be compiled, an error?
local function is_whole(ctx, text)
	if require("repl.command").is(text) or text:find "^%s*$" then
		return true
	end
	local _, why = chunk.compile(text, "=entry", ctx.env)
	return why ~= "more"
end

---Reads an entry.
---@param ctx table
---@param text? string what the line begins as
---@return string? entry
---@return "int"|"eof"|"gone"|nil why there is none
function reader.read(ctx, text)
	local first = prompt.first(ctx)
	local shown, before = first, ""
	-- what it says has changed while it is shown
	ctx.renew_prompt = function()
		first = prompt.first(ctx)
		shown = before == "" and first or prompt.more(first)
		require("opsh.c.line").prompt(shown)
	end
	while true do
		local typed, why = read_line(ctx, shown, before, text)
		if not typed then
			-- in a block Ctrl-D drops the block, as Ctrl-C does
			if why == "eof" and before ~= "" then why = "int" end
			return nil, why
		end
		local all = before .. typed
		if is_whole(ctx, all) then return all end
		before, shown, text = all .. "\n", prompt.more(first), nil
	end
end

return reader
