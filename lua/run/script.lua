-- script: user code that is no playbook: -e CODE, a file that returns nothing,
-- standard input. Targets are globals; each effect is recorded; the journal is
-- opened with the first one. An expression's value is shown.
local env = require "run.env"
local fail = require "run.fail"
local session = require "run.session"

local script = {}

local function show(...)
	if select("#", ...) == 1 and require("run.show").is_stream((...)) then
		return
	end
	if not session.report then
		session.report = require("run.report").new()
	end
	session.report:result(...)
end

-- The mode is known only with the targets file; a text that uses no target
-- never reads it.
local function begin(fields)
	local began
	session.config = (function(read)
		return function()
			local config = read()
			if not began then
				began = true
				if config.protected and not session.globals.write then
					require("opsh.c.effect").mode "read"
				end
			end
			return config
		end
	end)(session.config)
	session.quiet = true
	session.begin("write", fields, false)
end

local function run(chunk, fields, args)
	begin(fields)
	collectgarbage "restart"
	show(chunk(table.unpack(args)))
	return 0
end

-- As an expression it is the argument of a call, so that it is no tail call: the
-- place of an error would be lost.
local function compile(text, name, e)
	local chunk = load("return " .. text, name, "t", e)
	if chunk then
		return load("return (function(...) return ... end)(" .. text .. "\n)",
			name, "t", e) or chunk
	end
	local statement, why = load(text, name, "t", e)
	if not statement then fail.usage("%s", why) end
	return statement
end

---Runs text; as an expression when it is one.
---@param text string
---@param args string[] what `...` is
---@return integer exit code
function script.code(text, args)
	if text == "" then return 0 end
	return run(script.chunk(text), { command = "-e", source = text }, args)
end

---The text of -e, compiled.
---@param text string
---@return function
function script.chunk(text) return compile(text, "=-e", env.new(true)) end

---Runs standard input, when it is no terminal.
---@return integer exit code
function script.stdin()
	local text = io.read "a" or ""
	text = require("run.check").prepare(text)
	local chunk, why = load(text, "=stdin", "t", env.new(true))
	if not chunk then fail.usage("%s", why) end
	return run(chunk, { command = "stdin", source = text }, {})
end

---Runs a file that playbook.load found to be a script.
---@param pb table
---@param args string[]
---@return integer exit code
function script.file(pb, args)
	begin { command = "run", playbook = pb.path,
		sha256 = require("opsh.c.sys").sha256(pb.source) }
	collectgarbage "restart"
	show(pb.chunk(table.unpack(args)))
	return 0
end

return script
