-- catalog: what the servers have that names can be completed from: tables, topics,
-- commands. Asked for in a background task with a short deadline, and only of a
-- target that this session is connected to already; kept for a while. Whoever asks
-- gets what is known now and never waits.
local M = {}

local KEPT <const>, AGAIN <const> = 300, 30	-- seconds: a value, a failure
local DEADLINE <const> = 3

local function now() return require("opsh.c.task").now() end

local function entry_of(ctx, target, what)
	local all = ctx.catalog
	all[target.name] = all[target.name] or {}
	local entry = all[target.name][what]
	if not entry then
		entry = { stale = true }
		all[target.name][what] = entry
	end
	return entry
end

local function due(entry)
	if entry.busy then return false end
	if entry.stale then return true end
	return now() - entry.at > (entry.failed and AGAIN or KEPT)
end

local function fetch(entry, client, ask)
	local task = require "opsh.task"
	-- also when this task is cancelled, which no pcall keeps
	local _ <close> = setmetatable({}, { __close = function()
		entry.at, entry.busy = now(), false
	end })
	entry.failed = true
	local ok, value = pcall(task.timeout, DEADLINE, ask, client)
	entry.failed = not ok
	if ok and rawequal(entry.client, client) then entry.value = value end
end

---What is known of a target now; nil at first. Starts asking when it is due.
---@param ctx table catalog, connected(name) -> client or nil, background(f)
---@param target {name: string}
---@param what string "tables"
---@param ask fun(client: any): any waits for the server
---@return any value
function M.get(ctx, target, what, ask)
	local client = ctx.connected and ctx.connected(target.name)
	local entry = entry_of(ctx, target, what)
	if client and entry.client and not rawequal(entry.client, client) then
		-- another one of this name
		entry.value, entry.client = nil, client
		entry.stale, entry.busy = true, false
	end
	if client and due(entry) then
		entry.busy, entry.stale, entry.client = true, false, client
		local background = ctx.background or require("opsh.task").spawn
		local ok, handle = pcall(background, function()
			fetch(entry, client, ask)
		end)
		entry.task = ok and handle or nil
		if not ok then entry.busy, entry.at, entry.failed = false, now(), true end
	end
	return entry.value
end

---The end of a session: what is being asked is not waited for.
---@param ctx table
function M.stop(ctx)
	for _, entries in pairs(ctx.catalog or {}) do
		for _, entry in pairs(entries) do
			if entry.busy and entry.task then entry.task:cancel() end
		end
	end
end

---Forgets how fresh things are: what was kept is shown until the server has been
---asked again. After a statement that makes or drops something, or `:refresh`.
---@param ctx table
---@param name? string of a target; none: all
function M.refresh(ctx, name)
	for of, entries in pairs(ctx.catalog or {}) do
		if not name or of == name then
			for _, entry in pairs(entries) do entry.stale = true end
		end
	end
end

return M
