-- help.about: the texts of help: of a function, a class, a module, a target, an
-- error. Made of what run.docs has read; owns the layout. Looks at no value but
-- the fields of errors.
local docs = require "run.docs"
local sys = require "opsh.c.sys"

local M = {}

local function paragraph(text) return text and text ~= "" and text .. "\n" or "" end

local function field_line(indent, field, width)
	local name = field.name .. (field.optional and "?" or "")
	local said = field.text and field.text ~= "" and "  " .. field.text or ""
	return (("%s%-" .. width .. "s  %s%s"):format(indent, name,
		field.type or "", said):gsub("%s+$", "")) .. "\n"
end

local function fields_text(fields, indent)
	local width, out = 0, {}
	for _, field in ipairs(fields) do width = math.max(width, #field.name + 1) end
	for n, field in ipairs(fields) do
		out[n] = field_line(indent, field, math.min(width, 20))
	end
	return table.concat(out)
end

-- A parameter, and below it the options that its type has.
local function parameter(param, width)
	local out = field_line("  ", param, width)
	local kind = param.name == "..." and (param.text or ""):match
		"opsh%.[%w_.]*[%w_]" or param.type
	local fields = docs.fields(kind)
	-- what a client or a module offers is no option
	if fields and #fields <= 30 and (param.name:find "^opts"
		or param.name == "spec" or param.name == "..." or (kind or ""):find "^{")
	then
		out = out .. fields_text(fields, "      ")
	end
	return out
end

---@param member table of run.docs
---@param called string "cache:scan"
---@return string
function M.member(member, called)
	if not member.params then
		return ("%s  %s\n"):format(called, member.type or "")
			.. paragraph(member.text)
	end
	local out = { (docs.signature(member, called)), "\n" }
	if member.text then out[#out + 1] = "\n" .. paragraph(member.text) end
	local width = 0
	for _, param in ipairs(member.params) do
		width = math.max(width, #param.name + 1)
	end
	if #member.params > 0 then out[#out + 1] = "\n" end
	for _, param in ipairs(member.params) do
		out[#out + 1] = parameter(param, math.min(width, 20))
	end
	for n, result in ipairs(member.returns or {}) do
		out[#out + 1] = (n == 1 and "\nreturns " or "        ")
			.. result.type .. (result.text and result.text ~= "" and "  "
			.. result.text or "") .. "\n"
	end
	return table.concat(out)
end

local function members_text(members, head)
	local out, width = {}, 0
	for _, member in ipairs(members) do
		if member.params then
			width = math.max(width, #(docs.signature(member, member.name)))
		end
	end
	width = math.min(width, 36)
	for _, member in ipairs(members) do
		if member.params then
			out[#out + 1] = (("  %-" .. width .. "s  %s"):format(docs.signature(
				member, member.name), member.summary or ""):gsub("%s+$", ""))
		end
	end
	return #out > 0 and head .. "\n" .. table.concat(out, "\n") .. "\n" or ""
end

local function only_fields(members)
	local out = {}
	for _, member in ipairs(members) do
		if not member.params then out[#out + 1] = member end
	end
	return out
end

---@param class table
---@param name? string what it is called here
---@return string
function M.class(class, name)
	local members = docs.members(class)
	local fields = only_fields(members)
	local out = { name or class.name, "\n\n", paragraph(class.text) }
	if #fields > 0 then
		out[#out + 1] = (class.text and "\n" or "") .. "fields\n"
			.. fields_text(fields, "  ")
	end
	local methods = members_text(members, "functions")
	if methods ~= "" and (class.text or #fields > 0) then
		out[#out + 1] = "\n"
	end
	out[#out + 1] = methods
	return table.concat(out)
end

local function guide_line(name)
	local guide = require("repl.help.topics").guide(name)
	return guide and ("\nguide: help %q\n"):format(guide) or ""
end

---@param name string "opsh.fs"
---@return string
function M.module(name)
	local class = docs.module(name)
	local text = M.class({ name = name, text = class.text, order = class.order,
		members = class.members })
	return text .. guide_line(name:gsub("^opsh%.", ""))
end

---@param target {name: string, kind: string, address?: string, role?: string}
---@param ctx table
---@return string
function M.target(target, ctx)
	local class = docs.class(docs.of_kind(target.kind))
	local connected = ctx.connected and ctx.connected(target.name)
	local out = { ("%s: a target of kind %s%s%s, %s\n"):format(target.name,
		target.kind, target.address and " at " .. target.address or "",
		target.role and ", role " .. target.role or "",
		connected and "connected" or "not connected yet") }
	if target.description then out[#out + 1] = target.description .. "\n" end
	if class then
		out[#out + 1] = "\n" .. paragraph(class.text)
		out[#out + 1] = "\n" .. members_text(docs.members(class), "methods")
	end
	return table.concat(out) .. guide_line(target.kind)
end

---A function of Lua that has no documentation: what it takes, where it stands.
---@param f function
---@return string
function M.source(f)
	local info = debug.getinfo(f, "Su")
	local names = {}
	for n = 1, info.nparams do names[n] = debug.getlocal(f, n) or "_" end
	if info.isvararg then names[#names + 1] = "..." end
	if info.what == "C" then return "a function of opsh or of Lua itself\n" end
	return ("function(%s)\ndefined at %s:%d\n"):format(table.concat(names, ", "),
		info.short_src, info.linedefined)
end

local FIELDS = { "kind", "code", "target", "op", "phase", "outcome", "hint", "where" }

---An error: what it says, and what the guide says of its kind and outcome.
---@param e table
---@return string
function M.failure(e)
	local out = { tostring(rawget(e, "message") or e), "\n\n" }
	for _, name in ipairs(FIELDS) do
		local value = rawget(e, name)
		if value ~= nil then
			out[#out + 1] = ("  %-8s %s\n"):format(name, tostring(value))
		end
	end
	local text = sys.file "lua/help/errors.md" or ""
	local kind = tostring(rawget(e, "kind")):gsub("%p", "%%%0")
	local said = text:match("\n| `" .. kind .. "`[^|]*|%s*([^|]-)%s*|")
	if said then out[#out + 1] = "\n" .. kind .. ": " .. said .. "\n" end
	if rawget(e, "outcome") == "unknown" then
		out[#out + 1] = "unknown: it may have been applied; look at the target "
			.. "before it is done again\n"
	end
	out[#out + 1] = "\nguide: help \"errors\"\n"
	return table.concat(out)
end

return M
