-- prompt: what stands before the line: environment, mode, run, what changed; and
-- the terminal's title. Owns the colours of both; must not reach a target, nor
-- wait.
local effect = require "opsh.c.effect"
local session = require "run.session"
local term = require "opsh.c.term"

local prompt = {}

-- Styles stand between marks, so that the editor doesn't count them.
local function styled(style, text)
	if not term.colour(2) then return term.escape(text) end
	local all = term.style(style, text, 2)
	return (all:gsub("\27%[[%d;]*m", "\1%0\2"))
end

local COLOURS = {
	{ "^prod", "error" }, { "^live", "error" }, { "^stag", "warn" },
	{ "^test", "cyan" }, { "^dev", "green" }, { "^local", "green" },
}

-- The colour of an environment by its name; one that is protected is red.
local function colour(config)
	if config.protected then return "error" end
	for _, row in ipairs(COLOURS) do
		if config.environment:lower():find(row[1]) then return row[2] end
	end
	return "cyan"
end

local MODES = { read = "ok", plan = "cyan", write = "warn" }

-- Targets that are not who they were: "db=standby".
local function changes()
	local out = {}
	for _, object in pairs(session.objects) do
		if object:changed() then
			out[#out + 1] = object:name() .. "=" .. (object:role() ~= ""
				and object:role() or "changed")
		end
	end
	table.sort(out)
	return out
end

---The prompt of a new entry.
---@param ctx table
---@return string
function prompt.first(ctx)
	local config, mode = ctx.config(), effect.mode()
	local parts = {}
	if config.environment ~= "" then
		parts[1] = styled(colour(config), config.environment)
	end
	parts[#parts + 1] = styled(MODES[mode], mode)
	for _, text in ipairs(changes()) do
		parts[#parts + 1] = styled("error", text .. "!")
	end
	local run = effect.status().run
	if run then parts[#parts + 1] = styled("muted", run:sub(-4)) end
	return table.concat(parts, " ") .. "> "
end

---The prompt of a line that goes on.
---@param first string
---@return string
function prompt.more(first)
	local plain = first:gsub("\1[^\2]*\2", "")
	local width = term.width(plain)
	return (" "):rep(math.max(0, width - 5)) .. styled("muted", "...> ")
end

-- Terminals that keep a stack of titles, or at least take the order for one.
local function has_title()
	local name = require("opsh.c.sys").getenv "TERM" or ""
	return term.is_tty(2) and (name:find "^xterm" or name:find "^screen"
		or name:find "^tmux" or name:find "^rxvt" or name:find "^alacritty"
		or name:find "^foot") ~= nil
end

local titled

---Names the terminal after the session, or gives it its title back.
---@param ctx? table nil: the session ends
function prompt.title(ctx)
	if titled == nil and not ctx or not has_title() then return end
	if not ctx then
		term.ours(2, "\27]2;\7\27[23;2t")
		titled = nil
		return
	end
	local name = ctx.config().environment
	local text = ("opsh %s%s"):format(name ~= "" and name .. " " or "",
		effect.mode())
	if text == titled then return end
	local keep = titled and "" or "\27[22;2t"
	titled = text
	term.ours(2, keep .. "\27]2;" .. term.escape(term.mask(text)) .. "\7")
end

return prompt
