-- compose.override: the file that set_image and set_env write, beside the compose
-- file and laid over it. It is JSON, which is YAML too, below two lines of comment:
-- what it is, and what it said of each service before. Owns its form; must not
-- touch a file that is not of this form.
local err = require "opsh.c.err"
local json = require "opsh.json"
local sys = require "opsh.c.sys"

local M = {}

local MARK = "# Written by opsh"
local HISTORY = "# Before: "
local KEPT <const> = 10		-- earlier entries of a service
local MAX <const> = 4 << 20

---Did we write it?
---@param path string
---@return boolean
function M.is_ours(path)
	local text = sys.read(path, MAX)
	return text ~= nil and text:sub(1, #MARK) == MARK
end

local function broken(path, why)
	error(err.new { kind = "config", message = ("cannot read '%s': %s"):format(path,
		why), hint = "opsh wrote it, and it was changed: repair or remove it" }, 0)
end

-- Both halves of the text, checked.
local function parse(path, text)
	local history = text:match("\n" .. HISTORY .. "([^\n]*)\n") or "{}"
	local body = text:match "\n({.*)$"
	if not body then broken(path, "there is no '{' at the start of a line") end
	local ok, before = pcall(json.decode, history)
	local fine, now = pcall(json.decode, body)
	if not ok or not fine then
		broken(path, tostring((ok and now or before).message))
	end
	local services = type(now) == "table" and now.services
	if type(before) ~= "table" or type(services) ~= "table" then
		broken(path, "it is not of the form that opsh writes")
	end
	for _, part in ipairs { before, services } do
		for name, entry in pairs(part) do
			if type(name) ~= "string" or type(entry) ~= "table" then
				broken(path, "it is not of the form that opsh writes")
			end
		end
	end
	return { services = services, before = before, version = now.version }
end

---What it says: `services`, and for each service what it said `before`.
---@param path string one that is not there says nothing
---@return {services: table<string, table>, before: table<string, table[]>, version?: string}
function M.read(path)
	if not sys.stat(path) then return { services = {}, before = {} } end
	local text, why = sys.read(path, MAX)
	if not text then broken(path, why) end
	if text:sub(1, #MARK) ~= MARK then broken(path, "it is not ours") end
	return parse(path, text)
end

-- A '$' is a variable to compose.
local function plain(value)
	return (value:gsub("%$", "$$"))
end

---A copy with another entry for a service; the one of now goes to its history.
---@param state table of read
---@param service string
---@param change fun(entry: table) changes a copy of its entry
---@return table state
function M.change(state, service, change)
	local copy = json.decode(json.encode { services = state.services,
		before = state.before })
	copy.version = state.version
	local entry = json.decode(json.encode(copy.services[service] or {}))
	local list = copy.before[service] or {}
	list[#list + 1] = copy.services[service] or {}
	if #list > KEPT then table.remove(list, 1) end
	copy.before[service] = list
	change(entry)
	copy.services[service] = next(entry) and entry or nil
	return copy
end

---A copy in which a service is as it was before the last change; nil when nothing
---is known of that.
---@param state table
---@param service string
---@return table?
function M.back(state, service)
	local list = state.before[service]
	if not list or #list == 0 then return nil end
	local copy = json.decode(json.encode { services = state.services,
		before = state.before })
	copy.version = state.version
	local entry = table.remove(copy.before[service])
	if #copy.before[service] == 0 then copy.before[service] = nil end
	copy.services[service] = next(entry) and entry or nil
	return copy
end

---Sets the image in an entry, or variables of its environment.
---@param entry table
---@param image? string
---@param env? table<string, string>
function M.set(entry, image, env)
	if image then entry.image = plain(image) end
	for name, value in pairs(env or {}) do
		entry.environment = entry.environment or {}
		entry.environment[name] = plain(value)
	end
end

---The text of the file; nil when there is nothing to say.
---@param state table
---@param base string name of the compose file
---@return string?
function M.text(state, base)
	if not next(state.services) and not next(state.before) then return nil end
	return ("%s: laid over %s. What it says counts as long as it is here.\n%s%s\n%s\n")
		:format(MARK, base, HISTORY, json.encode(state.before),
		json.encode({ services = state.services, version = state.version },
		{ indent = 2 }))
end

return M
