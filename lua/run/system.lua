-- system: the targets file as playbooks and scripts see it, the global `system`:
-- services, thresholds, patterns, contacts, and the client of any target by its
-- name. For playbooks that are about a whole system and not about the targets in
-- their `needs`. Gives copies: nobody changes the configuration.
local session = require "run.session"
local words = require "run.words"

local system = {}

-- Members of the file that are data.
local DATA = { environment = true, description = true, protected = true,
	services = true, thresholds = true, patterns = true, contacts = true,
	dir = true, path = true }

local function copy(value)
	if type(value) ~= "table" then return value end
	local out = {}
	for k, v in pairs(value) do out[k] = copy(v) end
	return out
end

-- Where a target speaks TLS, and what it trusts there.
local function tls_of(target)
	local u, options = target.url, target.options or {}
	if not (u and u.host and (u.tls or options.tls)) then return nil end
	return { host = u.host, port = u.port, ca = options.ca,
		server_name = options.server_name }
end

---The targets of the system, by name; nothing is asked of any. `tls`: where one
---speaks TLS.
---@return {name: string, kind: string, address: string, description?: string, built_in: boolean, tls?: {host: string, port: integer, ca?: string, server_name?: string}}[]
function system.targets()
	local list, all = {}, session.config().targets
	for n, name in ipairs(words.sorted(all)) do
		local target = all[name]
		list[n] = { name = name, kind = target.kind, address = target.address,
			description = target.description, built_in = not target.absent,
			tls = tls_of(target) }
	end
	return list
end

---The client of a target by its name, as `t.NAME` of a playbook; connects when it
---is used. Raises kind config when there is none of this name.
---@param name string
---@return any client
function system.target(name)
	local all = session.config().targets
	local target = all[name]
	if not target then
		require("run.fail").config("there is no target '%s'%s", tostring(name),
			words.hint(tostring(name), all))
	end
	local client = session.client(target)
	local was = session.identities and session.identities[name]
	local object = session.target_of(client)
	if was and not object:identity() then
		-- resumed: another one than in the run before stops the next write
		object:seen(was.identity, was.role or "")
	end
	return client
end

-- system.services, system.thresholds ...: {} or "" when the file has none.
return setmetatable(system, { __metatable = false, __index = function(t, name)
	if not DATA[name] then return nil end
	local value = copy(session.config()[name])
	rawset(t, name, value)
	return value
end })
