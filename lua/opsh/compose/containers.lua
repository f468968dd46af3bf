-- compose.containers: which services and which containers are meant: names checked
-- against what the files define, containers as the engine has them now. Reads only;
-- raises for what is not there.
local err = require "opsh.c.err"
local orchestrator = require "opsh.orchestrator"
local rows = require "opsh.docker.rows"

local M = {}

---The list of services meant; raises for one that is not defined.
---@param self opsh.compose.client
---@param services? string|string[]
---@return string[] names
function M.known(self, services)
	if services == nil then return {} end
	local all = self.project:services()
	local names = orchestrator.names(services)
	for _, name in ipairs(names) do
		if all[name] == nil then
			error(err.new { kind = "usage", target = self.target:name(),
				message = ("there is no service '%s' in '%s' (there are: %s)")
				:format(name, self.project:path(), table.concat(self:services(),
				", ")) }, 0)
		end
	end
	return names
end

---The one service of this name.
---@param self opsh.compose.client
---@param service string
---@return string name
function M.one(self, service)
	if type(service) ~= "string" then
		error(err.new { kind = "usage", message = ("a service's name expected, "
			.. "got a %s"):format(type(service)) }, 0)
	end
	return M.known(self, service)[1]
end

---The containers of the project, those of `compose run` left out.
---@param self opsh.compose.client
---@param names string[] of services; {}: all
---@return table[] rows of docker.rows
function M.list(self, names)
	local wanted = {}
	for _, name in ipairs(names) do wanted[name] = true end
	local ids = {}
	for _, listed in ipairs(self.docker:ps { all = true, filters = {
		"label=com.docker.compose.project=" .. self.project:name() } }) do
		if #names == 0 or wanted[listed.service] then ids[#ids + 1] = listed.id end
	end
	local list = {}
	if #ids == 0 then return list end
	for _, c in ipairs(self.docker:inspect(ids, { skip = true })) do
		local row = rows.container(c)
		if not rows.is_one_off(c) and (#names == 0 or wanted[row.service]) then
			list[#list + 1] = row
		end
	end
	table.sort(list, function(a, b)
		if a.service ~= b.service then return a.service < b.service end
		if a.number ~= b.number then return a.number < b.number end
		return a.name < b.name
	end)
	return list
end

---One container of a service: the wanted (name or number), or the first that runs.
---@param self opsh.compose.client
---@param service string
---@param wanted? string|integer
---@return table row
function M.instance(self, service, wanted)
	local list = M.list(self, { M.one(self, service) })
	for _, row in ipairs(list) do
		if wanted and (row.name == wanted or row.number == wanted)
			or not wanted and (row.state == "running" or row.state == "starting") then
			return row
		end
	end
	local states = {}
	for n, row in ipairs(list) do states[n] = row.name .. " is " .. row.state end
	error(err.new { kind = "check", target = self.target:name(),
		message = ("%s of '%s': %s"):format(wanted and ("no instance '%s'"):format(
		tostring(wanted)) or "no instance runs", service, #states > 0
		and table.concat(states, ", ") or "it has no container") }, 0)
end

return M
