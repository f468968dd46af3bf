-- books: the playbooks at hand and their parameters, for completion and help. A
-- playbook is read with stand-ins for all that could have an effect (as `opsh doc`
-- does), once, until its file changes. Runs none.
local sys = require "opsh.c.sys"

local M = {}

local described = {}	-- path -> {mtime, size, pb}

---The folders that playbooks are looked for in.
---@param ctx table
---@return string[]
function M.dirs(ctx)
	if ctx.dirs then return ctx.dirs end
	local session = require "run.session"
	local shipped = sys.playbook_dir()
	return require("run.playbook").dirs(require("run.targets").path(
		session.globals.targets), shipped and sys.realpath(shipped))
end

---@param ctx table
---@return {name: string, path: string}[]
function M.list(ctx)
	return require("run.playbook").list(M.dirs(ctx))
end

---What a playbook says of itself; nil when there is none, or it can't be read.
---@param ctx table
---@param name string or path
---@return table? pb
function M.describe(ctx, name)
	local playbook = require "run.playbook"
	local found, path = pcall(playbook.find, name, M.dirs(ctx))
	local st = found and sys.stat(path)
	if not st then return nil end
	local known = described[path]
	if known and known.mtime == st.mtime and known.size == st.size then
		return known.pb
	end
	local ok, pb = pcall(playbook.describe, path,
		{ env_names = require("run.env").names() })
	pb = ok and pb.spec and pb or nil
	described[path] = { mtime = st.mtime, size = st.size, pb = pb }
	return pb
end

return M
