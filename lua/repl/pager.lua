-- pager: where the text of results goes: to the screen, or to a pager when it is
-- longer than the screen is high. Owns the choice and the program; what is written
-- is ours: masked, escaped, perhaps styled. Must not look at values.
local sys = require "opsh.c.sys"
local term = require "opsh.c.term"

local pager = {}

local LESS = { "less", "-R", "-F", "-X", "-S" }
-- What was typed ahead for the prompt reaches it: no key of it writes a file or runs
-- a program.
local SECURE = { LESSSECURE = "1" }
local ROWS_OF_PROMPT <const> = 2
local PIECE <const> = 16384	-- bytes written at once: Ctrl-C comes between

---The screen as results see it: ctx.screen stands in for the terminal, in part or
---as a whole.
---@param ctx table
---@return {tty: boolean, width: integer|false, height: integer}
function pager.screen(ctx)
	local given = ctx.screen or {}
	local tty = given.tty
	if tty == nil then tty = term.is_tty(1) end
	local width = given.width
	if width == nil then width = tty and term.columns() end
	return { tty = tty, width = width, height = given.height or term.lines() }
end

-- What a shell would have to read is given to one.
local function split(command)
	if command:find "[^%w%s_./=+:,@%-]" then
		return { "/bin/sh", "-c", command }
	end
	local argv = {}
	for word in command:gmatch "%S+" do argv[#argv + 1] = word end
	return argv
end

---The program, from `:set pager` or $PAGER; less by itself. nil: none.
---@param ctx table
---@return string[]? argv
---@return table<string, string>? environment more variables for it
function pager.command(ctx)
	local set = ctx.settings and ctx.settings.pager
	if set == nil or set == true or set == "on" or set == "auto" then
		set = sys.getenv "PAGER"
		if not set or not set:find "%S" then set = "less" end
	elseif set == false or set == "off" then
		return nil
	end
	local argv = split(set)
	if #argv == 0 or argv[1] == "cat" then return nil end
	if #argv == 1 and argv[1]:match "[^/]*$" == "less" then
		return { argv[1], table.unpack(LESS, 2) }, SECURE
	end
	return argv
end

-- Rows of the screen that a text takes, up to `enough`.
local function rows_of(text, width, enough)
	local n = 0
	for line in text:gmatch "([^\n]*)\n" do
		local wide = #line
		if width and wide > width then
			wide = term.width((line:gsub("\27%[[%d;]*m", "")))
		end
		n = n + (width and wide > width and (wide - 1) // width + 1 or 1)
		if n > enough then break end
	end
	return n
end

local Out = {}
Out.__index = Out

-- A piece ends with a line, so that no style and no letter is cut.
local function plainly(self, text)
	local from = 1
	while from <= #text do
		local to = from + PIECE - 1
		to = to < #text and text:find("\n", to, true) or #text
		self.plain(text:sub(from, to))
		from = to + 1
	end
end

-- The text so far is longer than the screen: is there a program for the rest?
local function start(self)
	local argv, env = pager.command(self.ctx)
	self.decided = true
	if not argv then return end
	local done, program = pcall(term.lend, argv, { stdin = true, env = env })
	if done then
		self.program = program
	else
		self.problem = ("no pager: %s"):format(program.message
			or tostring(program))
	end
end

local function pass(self, text)
	if not self.program then
		plainly(self, text)
		return true
	end
	self.open = self.program:write(text)
	return self.open
end

---Takes text of whole lines.
---@param text string masked and escaped; styles are ours
---@return boolean more false: nobody reads on
function Out:write(text)
	if not self.open then return false end
	if self.decided then return pass(self, text) end
	local held = self.held
	held[#held + 1] = text
	self.rows = self.rows + rows_of(text, self.screen.width, self.room)
	if self.rows <= self.room then return true end
	start(self)
	self.held = {}
	return pass(self, table.concat(held))
end

---The end: what was held is written, a pager is waited for.
function Out:close()
	if self.closed then return end
	self.closed = true
	if not self.decided then
		plainly(self, table.concat(self.held))
	elseif self.program then
		local ended = self.program:wait()
		if self.note then self.plain(term.style("muted", self.note) .. "\n") end
		if ended.status == 127 or ended.status == 126 then
			self.problem = ("the pager did not start (exit %d); :set pager off, "
				.. "or another"):format(ended.status)
		end
	end
	if self.problem then
		self.plain(term.style("warn", self.problem) .. "\n")
	end
end

-- However it ends, nothing holds the terminal.
function Out:__close(e)
	if self.program and (e ~= nil or not self.closed) then
		local _ <close> = self.program
	elseif e == nil then
		self:close()
	end
end

---Where text of results goes. Closable.
---@param ctx table settings.pager: "auto", "off", or a command
---@param always? boolean however short it is
---@return table out write(text), close(); note: what is said after a pager
function pager.open(ctx, always)
	local screen = pager.screen(ctx)
	local out = setmetatable({ ctx = ctx, screen = screen, held = {}, rows = 0,
		room = screen.height - ROWS_OF_PROMPT, open = true,
		decided = not screen.tty or not term.is_tty(0)
			or sys.getenv "TERM" == "dumb",
		plain = ctx.write or function(text) term.ours(1, text) end }, Out)
	if always and not out.decided then start(out) end
	return out
end

return pager
