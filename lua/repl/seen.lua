-- seen: what a session has learnt from the entries that were typed: paths of HTTP
-- targets, and that tables were made or dropped. For completion alone. Reads text;
-- runs nothing.
local catalog = require "repl.catalog"
local lex = require "repl.lex"

local M = {}

local MAX <const> = 500		-- paths of a target

local CHANGES = { "create", "alter", "drop", "rename", "truncate" }

local function note_path(ctx, name, path)
	ctx.paths = ctx.paths or {}
	local list = ctx.paths[name] or { known = {} }
	ctx.paths[name] = list
	if list.known[path] or #list >= MAX then return end
	list.known[path] = true
	list[#list + 1] = path
end

-- The name that a string's call begins with: gateway "/x", gateway:get("/x").
local function name_before(tokens, n)
	n = n - 1
	if tokens[n] and tokens[n].text == "(" then n = n - 1 end
	while tokens[n] and tokens[n].kind == "name" do
		local sep = tokens[n - 1]
		if not sep or sep.text ~= ":" and sep.text ~= "." then
			return tokens[n].text
		end
		n = n - 2
	end
end

---An entry has run.
---@param ctx table
---@param text string
function M.entry(ctx, text)
	if not text:find("[\"'%[]") then return end
	local lower = text:lower()
	for _, word in ipairs(CHANGES) do
		if lower:find("%f[%a]" .. word .. "%f[%A]") then
			catalog.refresh(ctx)
			break
		end
	end
	local config = type(ctx.config) == "function" and ctx.config() or ctx.config
	local tokens = lex.tokens(text)
	for n, token in ipairs(tokens) do
		local path = token.kind == "string" and token.text:match
			"^[\"'](/[^\"'?#%s]*)"
		local name = path and name_before(tokens, n)
		local target = name and config and config.targets[name]
		if target and target.kind == "http" then note_path(ctx, name, path) end
	end
end

---The paths of a target, in the order they were first asked for.
---@param ctx table
---@param name string
---@return string[]
function M.paths(ctx, name)
	return ctx.paths and ctx.paths[name] or {}
end

return M
