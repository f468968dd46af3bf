-- git: a working copy by git's own program: where it stands, what changed, and the
-- few writes that a deployment needs (fetch, pull, checkout, revert). Names of
-- commits can't be taken for options, no pager, editor or question ever starts, a
-- read writes nothing (not even the index). Owns the class of each verb.
local err = require "opsh.c.err"
local exec = require "opsh.c.exec"

local M = {}

---@class opsh.git.repository
---@field dir? string
local Repository = {}
Repository.__index = Repository
Repository.__name = "opsh.git.repository"

local ENV = { GIT_TERMINAL_PROMPT = "0", GIT_PAGER = "cat", GIT_EDITOR = "true",
	LC_ALL = "C.UTF-8" }
local INHERIT = { "SSH_AUTH_SOCK", "GIT_SSH_COMMAND", "GIT_ASKPASS", "SSH_ASKPASS",
	"XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "https_proxy", "http_proxy", "no_proxy",
	"HTTPS_PROXY", "NO_PROXY" }
local FIELD <const> = "\x1f"

local function usage(fmt, ...)
	error(err.new { kind = "usage", message = fmt:format(...) }, 0)
end

local function options(opts, known)
	if opts == nil then return {} end
	if type(opts) ~= "table" then
		usage("options must be a table, not a %s", type(opts))
	end
	for name in pairs(opts) do
		if not (" " .. known .. " "):find(" " .. tostring(name) .. " ", 1, true) then
			usage("unknown option '%s' (known: %s)", tostring(name),
				(known:gsub(" ", ", ")))
		end
	end
	return opts
end

---A name of a commit (branch, tag, hash, HEAD~1) that git can't take for anything
---else; raises kind usage for one that it could.
---@param ref any
---@return string ref
function M.ref(ref)
	if type(ref) ~= "string" or ref == "" or #ref > 250
		or ref:find "^%-" or ref:find "[%c%s:?*%[\\]" or ref:find("..", 1, true) then
		usage("'%s' is no name of a commit", tostring(ref))
	end
	return ref
end

local function failed(e)
	if err.is(e) and e.kind == "server" and type(e.stderr) == "string" then
		local said = e.stderr:match "fatal: *([^\r\n]+)"
			or e.stderr:match "error: *([^\r\n]+)" or e.stderr:match "[^\r\n]+"
		if said then e.message = ("'git %s' failed: %s"):format(e.op or "?", said) end
	end
	return e
end

local function run(self, class, verb, argv, opts)
	local env = {}
	for name, value in pairs(ENV) do env[name] = value end
	if class == "read" then env.GIT_OPTIONAL_LOCKS = "0" end
	local ok, r = pcall(exec.run, self.target, { { "git", "--no-pager", "-c",
		"core.fsmonitor=false", table.unpack(argv) } }, { class = class, verb = verb,
		cwd = self.dir, env = env, inherit = INHERIT, expect = opts.expect,
		accept = opts.accept, timeout = opts.timeout or 60,
		request = (self.dir and "in " .. self.dir .. ": " or "") .. "git "
		.. table.concat(argv, " ") })
	if not ok then error(failed(r), 0) end
	return r
end

local function read(self, verb, argv, accept)
	return run(self, "read", verb, argv, { accept = accept })
end

-- --- reads -----------------------------------------------------------------------

---The commit that a name means. Raises kind usage when there is none.
---@param ref? string "HEAD"
---@return string hash
function Repository:commit(ref)
	ref = M.ref(ref or "HEAD")
	local r = read(self, "rev-parse", { "rev-parse", "--verify", "--quiet",
		"--end-of-options", ref .. "^{commit}" }, { 0, 1 })
	local hash = r.stdout:match "^(%x+)%s*$"
	if r.status ~= 0 or not hash then usage("there is no commit '%s'", ref) end
	return hash
end

---The commit that is checked out.
---@return string hash
function Repository:head() return self:commit "HEAD" end

---The branch that is checked out.
---@return string? name nil when none is (a tag, a commit)
function Repository:branch()
	local r = read(self, "symbolic-ref", { "symbolic-ref", "--quiet", "--short",
		"HEAD" }, { 0, 1 })
	return r.status == 0 and r.stdout:match "[^\r\n]+" or nil
end

-- One record of `status --porcelain=v2 -z`; true: the next one is the path that it
-- was renamed from.
local function status_record(out, record)
	local kind = record:sub(1, 1)
	if kind == "#" then
		local name, value = record:match "^# branch%.(%S+) (.*)$"
		if name == "oid" then
			out.head = value:match "^%x+$"
		elseif name == "head" and value ~= "(detached)" then
			out.branch = value
		elseif name == "upstream" then
			out.upstream = value
		elseif name == "ab" then
			local ahead, behind = value:match "^%+(%d+) %-(%d+)$"
			out.ahead, out.behind = tonumber(ahead), tonumber(behind)
		end
	elseif kind == "?" then
		out.untracked[#out.untracked + 1] = record:sub(3)
	elseif kind == "1" or kind == "2" or kind == "u" then
		local words = kind == "1" and 8 or kind == "2" and 9 or 10
		local path = record:match("^" .. ("%S+ "):rep(words) .. "(.*)$")
		if path then
			out.changes[#out.changes + 1] = { path = path, index = record:sub(3, 3),
				tree = record:sub(4, 4) }
		end
		return kind == "2"
	end
end

---Where the working copy stands and what differs in it.
---@return table status head branch upstream ahead behind clean changes (rows path index tree: letters as git's, "." none) untracked (paths)
function Repository:status()
	local r = read(self, "status", { "status", "--porcelain=v2", "--branch", "-z",
		"--untracked-files=normal" })
	local out = { changes = {}, untracked = {} }
	local skip
	for record in r.stdout:gmatch "[^\0]+" do
		if skip then
			skip = false
		else
			skip = status_record(out, record)
		end
	end
	out.clean = #out.changes == 0 and #out.untracked == 0
	return out
end

local function split(text, separator)
	local out = {}
	for part in (text .. separator):gmatch("(.-)" .. separator) do
		out[#out + 1] = part
	end
	return out
end

---The last commits, newest first.
---
---Example: git.of("/srv/app"):log { max = 5 }
---@param opts? {max?: integer, ref?: string, path?: string} max: 20
---@return table[] rows commit author email time (seconds since the epoch) subject
function Repository:log(opts)
	opts = options(opts, "max ref path")
	local max = opts.max or 20
	if math.type(max) ~= "integer" or max < 1 then
		usage "option 'max' must be a number of commits"
	end
	local argv = { "log", "-z", "--no-show-signature", ("--max-count=%d"):format(max),
		"--format=%H%x1f%an%x1f%ae%x1f%ct%x1f%s", self:commit(opts.ref), "--" }
	argv[#argv + 1] = opts.path
	local rows = {}
	for record in read(self, "log", argv).stdout:gmatch "[^\0]+" do
		local f = split(record, FIELD)
		rows[#rows + 1] = { commit = f[1], author = f[2], email = f[3],
			time = math.tointeger(tonumber(f[4])), subject = f[5] }
	end
	return rows
end

---Tags, the newest first.
---@param pattern? string such as "v1.*"
---@return table[] rows name commit time
function Repository:tags(pattern)
	if pattern ~= nil and (type(pattern) ~= "string" or pattern:find "[%c%s]") then
		usage("'%s' is no pattern of tags", tostring(pattern))
	end
	local r = read(self, "for-each-ref", { "for-each-ref", "--sort=-creatordate",
		"--format=%(refname:strip=2)%1f%(objectname)%1f%(*objectname)%1f"
		.. "%(creatordate:unix)", "refs/tags/" .. (pattern or "") })
	local rows = {}
	for line in r.stdout:gmatch "[^\n]+" do
		local f = split(line, FIELD)
		rows[#rows + 1] = { name = f[1], commit = f[3] ~= "" and f[3] or f[2],
			time = math.tointeger(tonumber(f[4])) }
	end
	return rows
end

---What differs between two commits, file by file.
---@param from string
---@param to? string "HEAD"
---@return table[] rows path added removed (lines; nil for a binary file)
function Repository:diff_stat(from, to)
	local r = read(self, "diff", { "diff", "--numstat", "-z", "--no-ext-diff",
		"--no-textconv", "--no-renames", self:commit(from), self:commit(to), "--" })
	local rows = {}
	for record in r.stdout:gmatch "[^\0]+" do
		local added, removed, path = record:match "^(%S+)\t(%S+)\t(.*)$"
		if path then
			rows[#rows + 1] = { path = path, added = math.tointeger(
				tonumber(added)), removed = math.tointeger(tonumber(removed)) }
		end
	end
	return rows
end

-- --- writes ------------------------------------------------------------------------

---Fetches what a remote has; the working copy stays as it is. A write.
---@param opts? {remote?: string, tags?: boolean, prune?: boolean, timeout?: number, expect?: any}
---@return table result
function Repository:fetch(opts)
	opts = options(opts, "remote tags prune timeout expect")
	local argv = { "fetch", "--quiet" }
	if opts.tags then argv[#argv + 1] = "--tags" end
	if opts.prune then argv[#argv + 1] = "--prune" end
	if opts.remote then
		if type(opts.remote) ~= "string" or not opts.remote:find "^[%w_./][%w_./-]*$" then
			usage("'%s' is no name of a remote", tostring(opts.remote))
		end
		table.move({ "--", opts.remote }, 1, 2, #argv + 1, argv)
	end
	return run(self, "write", "fetch", argv, { expect = opts.expect,
		timeout = opts.timeout or 300 })
end

---Fetches, and moves the branch forward; fails where it has gone another way. A
---write.
---@param opts? {timeout?: number, expect?: any}
---@return table result
function Repository:pull(opts)
	opts = options(opts, "timeout expect")
	return run(self, "write", "pull", { "pull", "--ff-only", "--quiet" }, {
		expect = opts.expect, timeout = opts.timeout or 300 })
end

---Checks out a branch, a tag or a commit. Local changes that it would overwrite make
---it fail; nothing is lost. A write.
---@param ref string
---@param opts? {timeout?: number, expect?: any}
---@return table result
function Repository:checkout(ref, opts)
	opts = options(opts, "timeout expect")
	self:commit(ref)
	return run(self, "write", "checkout", { "checkout", "--quiet", "--no-guess", ref,
		"--" }, opts)
end

---A new commit that takes another one back. Where that conflicts, the working copy is
---put back and it fails. A write.
---@param ref string
---@param opts? {timeout?: number, expect?: any}
---@return table result
function Repository:revert(ref, opts)
	opts = options(opts, "timeout expect")
	local hash = self:commit(ref)
	local ok, r = pcall(run, self, "write", "revert", { "revert", "--no-edit", hash },
		opts)
	if ok then return r end
	if err.is(r) and r.kind == "server" and read(self, "rev-parse", { "rev-parse",
		"--verify", "--quiet", "REVERT_HEAD" }, true).status == 0 then
		run(self, "write", "revert", { "revert", "--abort" }, {})
		r.message = ("'%s' can't be reverted without conflicts"):format(ref)
	end
	error(r, 0)
end

-- --- repositories ------------------------------------------------------------------

---A working copy by its folder (default: the current one). Its writes are those of
---this machine.
---@param dir? string
---@return opsh.git.repository
function M.of(dir)
	if dir ~= nil and (type(dir) ~= "string" or dir == "") then
		usage("the folder of a working copy expected, got a %s", type(dir))
	end
	return setmetatable({ dir = dir, target = require("opsh.c.target").host() },
		Repository)
end

-- git.status() and so on: the working copy of the current folder.
for name, method in pairs(Repository) do
	if type(method) == "function" then
		M[name] = function(...) return method(M.of(), ...) end
	end
end

return M
