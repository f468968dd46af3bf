-- eval: Lua text that a command was given (`:watch`, `:chart`, `:bg`): compiled in
-- the environment of the session's entries, an expression when it is one. Runs it
-- only when its caller does.
local fail = require "run.fail"

local eval = {}

---@param ctx table
---@param text string
---@param name? string what errors call it
---@return function
function eval.compile(ctx, text, name)
	name = "=" .. (name or "command")
	-- `=x` is the old way to ask for a value
	local code = text:gsub("^%s*=", "")
	local chunk = load("return " .. code, name, "t", ctx.env)
	if chunk then return chunk end
	local statement, why = load(code, name, "t", ctx.env)
	if not statement then fail.usage("%s", why) end
	return statement
end

---What a command or an expression prints, as text: `:cmd`, or the values of Lua.
---@param ctx table
---@param text string
---@return fun(): string
function eval.printer(ctx, text)
	local command = require "repl.command"
	if command.is(text) then
		return function()
			local parts = {}
			local function add(more) parts[#parts + 1] = more end
			local inner = setmetatable({ out = add, err = add,
				rows = function(rows, opts)
					add(require("opsh.table").format(rows, opts))
				end }, { __index = ctx, __newindex = ctx })
			command.run(inner, text)
			return table.concat(parts)
		end
	end
	local chunk = eval.compile(ctx, text, "watch")
	return function() return eval.text(ctx, table.pack(chunk())) end
end

---Values as an entry's results are shown, whole and without styles: text that is
---masked and escaped. Leaves `_` alone.
---@param ctx table
---@param values table as of table.pack
---@return string
function eval.text(ctx, values)
	local parts = {}
	local settings = setmetatable({ pager = "off" }, { __index = ctx.settings })
	local inner = setmetatable({ env = {}, last = {}, settings = settings,
		screen = { tty = false, width = require("opsh.c.term").columns(),
			height = math.maxinteger },
		write = function(text) parts[#parts + 1] = text end }, { __index = ctx })
	require("repl.show").values(inner, table.unpack(values, 1, values.n))
	return (table.concat(parts):gsub("\27%[[%d;]*m", ""))
end

return eval
