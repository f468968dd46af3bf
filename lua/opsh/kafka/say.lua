-- kafka.say: what the parts of opsh.kafka refuse, in the same words: options that
-- there are not, topics and groups that do not exist, with the nearest names. Must
-- not ask a server for anything.
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"
local near = require "opsh.near"

local M = {}

local function raise(kind, code, fmt, ...)
	error(err.new { kind = kind, code = code, outcome = kind ~= "usage"
		and "refused" or nil, message = fmt:format(...) }, 0)
end

---@param fmt string
---@param ... any
function M.usage(fmt, ...) raise("usage", nil, fmt, ...) end

---Nothing was sent, because of what is there.
---@param fmt string
---@param ... any
function M.refuse(fmt, ...) raise("refused", nil, fmt, ...) end

---@param fmt string
---@param ... any
function M.differs(fmt, ...) raise("verify", nil, fmt, ...) end

---Are writes withheld?
---@return boolean
function M.planned() return effect.mode() == "plan" end

---The options table of a method, checked: "timeout topic" are those it takes.
---@param what string the method, for messages
---@param opts table?
---@param known string separated by spaces
---@return table
function M.options(what, opts, known)
	if opts == nil then return {} end
	if type(opts) ~= "table" then
		M.usage("%s: a table of options expected, got %s", what, type(opts))
	end
	local names, set = {}, {}
	for name in known:gmatch "%S+" do
		names[#names + 1], set[name] = name, true
	end
	for name in pairs(opts) do
		if not set[name] then
			M.usage("unknown option '%s' of %s%s", tostring(name), what,
				near.list(tostring(name), names))
		end
	end
	return opts
end

---Rows that are shown with these columns, in this order.
---@generic T
---@param rows T
---@param columns string separated by spaces
---@return T
function M.rows(rows, columns)
	local names = {}
	for name in columns:gmatch "%S+" do names[#names + 1] = name end
	return setmetatable(rows, { __columns = names })
end

---@param what string the method
---@param name any
---@param kind string "topic", "group"
---@return string name
function M.name(what, name, kind)
	if type(name) ~= "string" or name == "" then
		M.usage("%s: the name of a %s expected, got %s", what, kind,
			name == "" and "''" or type(name))
	end
	return name
end

---@param name string
---@param names string[] that there are
function M.no_topic(name, names)
	raise("server", "UNKNOWN_TOPIC_OR_PART", "there is no topic '%s'%s", name,
		near.list(name, names))
end

---@param name string
---@param names string[] that there are
function M.no_group(name, names)
	raise("server", "GROUP_ID_NOT_FOUND", "there is no group '%s'%s", name,
		near.list(name, names))
end

return M
