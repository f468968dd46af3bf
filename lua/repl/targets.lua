-- targets: the targets of a session: each with its state, who it is when it is
-- asked, one that is added, one that is taken as it is now. Owns these for `:targets`
-- and `:connect`; the clients are run.session's. A secret that is typed goes into
-- the description of its target and nowhere else.
local effect = require "opsh.c.effect"
local ctask = require "opsh.c.task"
local fail = require "run.fail"
local session = require "run.session"
local words = require "run.words"

local targets = {}

---The description of a target of the session; raises kind usage.
---@param name string
---@return table
function targets.find(name)
	local all = session.config().targets
	if not all[name] then
		fail.raise { kind = "usage", message = ("there is no target '%s'%s")
			:format(name, words.hint(name, all)),
			hint = (":connect %s=URL adds one"):format(name) }
	end
	return all[name]
end

-- The client that is open, and its object; nil: nothing has used it yet.
local function opened(name)
	local client = session.clients[name]
	return client, client and session.objects[client]
end

-- First contact, or a new one: who is it? In seconds what one more call takes.
local function ask(client, kind)
	local ping = require("opsh." .. kind).kind.ping
	if not ping then return nil end
	ping(client)
	local began = ctask.now()
	ping(client)
	return ctask.now() - began
end

local function state_of(ctx, name, object)
	local failed = ctx.failures and ctx.failures[name]
	if failed and (not object or object:lost() or not object:identity()) then
		return failed
	end
	if not object or not object:identity() then return "not connected" end
	if object:changed() then return "changed: writes are stopped" end
	return object:lost() and "connection lost" or "connected"
end

---"0.3 ms"
---@param seconds number
---@return string
function targets.milliseconds(seconds)
	return (seconds < 0.001 and "%.2f ms" or "%.1f ms"):format(seconds * 1000)
end

local function row_of(ctx, target, ping)
	local client, object = opened(target.name)
	local row = { name = target.name, kind = target.kind, url = target.address,
		role = target.role }
	if ping and not target.absent then
		local done, took = pcall(function()
			client = session.client(target)
			object = session.objects[client]
			return ask(client, target.kind)
		end)
		if done then
			row.latency = took and targets.milliseconds(took)
			if ctx.failures then ctx.failures[target.name] = nil end
		elseif fail.is(took) and took.kind == "cancelled" then
			error(took, 0)
		else
			row.state = fail.text(took)
			if ctx.failures then ctx.failures[target.name] = row.state end
		end
	end
	if object and object:role() then row.role = object:role() end
	row.state = row.state or target.absent and "not built in"
		or state_of(ctx, target.name, object)
	return row
end

---The targets as rows: name, kind, url, role, state and, when they are asked,
---latency. One that can't be reached is a row that says why.
---@param ctx table
---@param ping? boolean
---@param only? string a name
---@return table[]
function targets.rows(ctx, ping, only)
	local all, rows = session.config().targets, {}
	if only then return { row_of(ctx, targets.find(only), ping) } end
	for n, name in ipairs(words.sorted(all)) do
		rows[n] = row_of(ctx, all[name], ping)
	end
	return rows
end

-- A session of another identity is written to once a person has said so.
local function accept(object)
	local was = object:changed()
	local identity, role = object:identity(), object:role() or ""
	if not was or not object:became(identity, role) then return nil end
	effect.record("accepted", { target = object:name(), was = was,
		identity = identity, role = role,
		text = ("was %s"):format(was) }, true)
	return was
end

---Opens a target and asks who it is; one that was another before is taken as it is
---now, on record.
---@param name string
---@return {name: string, kind: string, address?: string, identity?: string, role?: string, was?: string, latency?: number}
function targets.meet(name)
	local target = targets.find(name)
	local client = session.client(target)
	local object = session.objects[client]
	local latency = ask(client, target.kind)
	return { name = name, kind = target.kind, was = accept(object),
		address = object:address(), identity = object:identity(),
		role = object:role(), wanted = target.role, latency = latency }
end

-- What used the old one finds the new one from now on.
local function forget(ctx, name)
	session.clients[name] = nil
	if ctx.failures then ctx.failures[name] = nil end
	if ctx.env and rawget(ctx.env, name) ~= nil then
		rawset(ctx.env, name, nil)
	end
end

---The description that NAME=URL gives; nothing is added. Raises kind usage, config.
---@param text string
---@return table target
function targets.parse(text)
	local list = require "run.targets"
	local ok, e = pcall(list.add, list.empty(), text,
		{ secret = require "opsh.secret" })
	if ok then return e end
	-- it speaks of the option that adds a target
	if fail.is(e) and e.kind == "usage" then
		fail.usage("%s", (e.message:gsub("^%-%-target:? ", ":connect: ")))
	end
	error(e, 0)
end

---Adds a target, or puts one in the place of another. password: what was typed.
---@param ctx table
---@param text string NAME=URL
---@param password? string
---@return boolean replaced
function targets.add(ctx, text, password)
	local secret = require "opsh.secret"
	local config = session.config()
	local name = text:match "^([^=]*)="
	local before = config.targets[name]
	local target = require("run.targets").add(config, text,
		{ secret = secret })
	if password then
		target.options.password = secret.value(password, name)
	end
	forget(ctx, name)
	session.added = session.added or {}
	-- plain: a run of its own is given them by its environment
	session.added[name] = { url = text:sub(#name + 2), password = password }
	return before ~= nil
end

return targets
