-- postgres.backups: backups on disk: each a folder NAME-TIME.pgbackup that holds
-- database.dump (pg_dump's custom format), manifest.json and SHA256SUMS, and
-- verified.jsonl once it was restored to see. A folder appears under its name when
-- all in it is there. Finds, checks and picks them; what it did not make it never
-- names. Removes nothing itself.
local err = require "opsh.c.err"
local fs = require "opsh.fs"
local json = require "opsh.json"

local M = {}

M.FORMAT = "opsh pgbackup 1"
M.DUMP, M.MANIFEST, M.SUMS = "database.dump", "manifest.json", "SHA256SUMS"
M.VERIFIED = "verified.jsonl"

local OURS <const> = { [M.DUMP] = true, [M.MANIFEST] = true, [M.SUMS] = true,
	[M.VERIFIED] = true }

---The name of a database as part of a file's: other bytes than letters, digits, '_'
---and '.' in the middle stand as %XX.
---@param database string
---@return string
function M.file_name(database)
	local name = database:gsub("[^%w_.]", function(c)
		return ("%%%02X"):format(c:byte())
	end)
	return (name:gsub("^%.", "%%2E"))
end

---The folder's name for a backup of now (seconds since 1970).
---@param database string
---@param now integer
---@return string
function M.name(database, now)
	return ("%s-%s.pgbackup"):format(M.file_name(database),
		os.date("!%Y%m%dT%H%M%SZ", now))
end

local function read_json(path)
	local ok, value = pcall(function()
		return json.decode(fs.read(path, { max = 256 << 20 }))
	end)
	return ok and type(value) == "table" and value or nil
end

local function is_folder(path)
	local ok, st = pcall(fs.stat, path, { follow = false })
	return ok and st.type == "directory"
end

---Reads one backup. Raises kind check when it is none of ours.
---@param path string
---@return {path: string, name: string, manifest: table, own: boolean, verified?: string} own: nothing else is in its folder
function M.open(path)
	path = path:gsub("(.)/+$", "%1")
	local manifest = is_folder(path) and read_json(path .. "/" .. M.MANIFEST)
	if not manifest or manifest.format ~= M.FORMAT then
		error(err.new { kind = "check", message = ("'%s' is no backup of "
			.. "postgres/backup: %s"):format(path, not is_folder(path)
			and "it is no folder" or "its manifest can't be read") }, 0)
	end
	local own, verified = true, nil
	for _, name in ipairs(fs.list(path)) do own = own and OURS[name] or false end
	if fs.exists(path .. "/" .. M.VERIFIED) then
		for line in fs.lines(path .. "/" .. M.VERIFIED) do
			local ok, v = pcall(json.decode, line)
			if ok and type(v) == "table" and v.ok then verified = v.time end
		end
	end
	return { path = path, name = path:match "[^/]+$", manifest = manifest,
		own = own, verified = verified }
end

---The backups in a folder, newest first; of one database, when it is named.
---@param folder string
---@param database? string
---@return table[] backups of open
function M.list(folder, database)
	local out = {}
	for _, name in ipairs(fs.exists(folder) and fs.list(folder) or {}) do
		local path = folder .. "/" .. name
		if name:match "%.pgbackup$" and is_folder(path) then
			local ok, b = pcall(M.open, path)
			if ok and (not database or b.manifest.database == database) then
				out[#out + 1] = b
			end
		end
	end
	table.sort(out, function(a, b)
		if a.manifest.time ~= b.manifest.time then
			return a.manifest.time > b.manifest.time
		end
		return a.name > b.name
	end)
	return out
end

-- Folders that a run which was killed has left: of fs.tmpdir, with nothing in them
-- but a backup that never got its name.
local function is_left(path)
	if not is_folder(path) then return false end
	local names = fs.list(path)
	if #names ~= 1 or not names[1]:match "%.pgbackup$" then return #names == 0 end
	for _, name in ipairs(fs.list(path .. "/" .. names[1])) do
		if not OURS[name] then return false end
	end
	return true
end

---What runs that were killed left in a folder, when nothing was written there for
---`age` seconds.
---@param folder string
---@param age number
---@param now integer
---@return string[] paths
function M.leftovers(folder, age, now)
	local out = {}
	for _, path in ipairs(fs.exists(folder) and fs.glob(folder:gsub("[*?%[\\]",
		"\\%0") .. "/opsh-*") or {}) do
		if is_left(path) then
			local newest = fs.stat(path).mtime
			for _, file in ipairs(fs.glob(path:gsub("[*?%[\\]", "\\%0")
				.. "/*/*")) do
				newest = math.max(newest, fs.stat(file).mtime)
			end
			if now - newest > age then out[#out + 1] = path end
		end
	end
	return out
end

-- "2026-11-21T16:00:00Z" as seconds since 1970.
local function seconds(text)
	local y, mo, d, h, mi, s = tostring(text):match
		"^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)"
	if not y then return nil end
	local at = os.time { year = y, month = mo, day = d, hour = h, min = mi,
		sec = s, isdst = false }
	local zone = os.date("!*t", at)
	zone.isdst = false
	return at + os.difftime(at, os.time(zone))
end

---Which of a list (newest first) are to go when one more comes: those beyond the
---newest `keep` and older than `days`, where both are given. Never the newest one
---that a restore has verified, nor one with files of others in it, nor of another
---cluster (`system`).
---@param list table[] of list
---@param rule {keep?: integer, days?: number, now: integer, system?: string}
---@return table[]
function M.expired(list, rule)
	local out, place, verified = {}, 1, false
	if not rule.keep and not rule.days then return out end
	for _, b in ipairs(list) do
		local same = rule.system == nil
			or b.manifest.system_identifier == rule.system
		if same then
			place = place + 1
			local first = b.verified and not verified
			verified = verified or first
			local at = seconds(b.manifest.time)
			local many = not rule.keep or place > rule.keep
			local old = not rule.days or at
				and rule.now - at > rule.days * 86400
			if many and old and b.own and not first then
				out[#out + 1] = b
			end
		end
	end
	return out
end

---Is what is on disk what was written? Compares sizes and checksums.
---@param b table of open
---@return boolean ok
---@return string? why
function M.check(b)
	local sums = {}
	for line in fs.lines(b.path .. "/" .. M.SUMS) do
		local sum, name = line:match "^(%x+)  (.+)$"
		if sum then sums[name] = sum end
	end
	local size = fs.stat(b.path .. "/" .. M.DUMP).size
	if size ~= b.manifest.dump_size then
		return false, ("'%s' has %d bytes, %d were written: it is cut or was "
			.. "replaced"):format(M.DUMP, size, b.manifest.dump_size)
	end
	for _, name in ipairs { M.MANIFEST, M.DUMP } do
		local sum = fs.hash(b.path .. "/" .. name, "sha256", { timeout = 7200 })
		if sum ~= sums[name] then
			return false, ("'%s' is not what was written: sha256 %s, "
				.. "SHA256SUMS says %s"):format(name, sum:sub(1, 16), sums[name]
				and sums[name]:sub(1, 16) or "nothing")
		elseif name == M.DUMP and sum ~= b.manifest.sha256 then
			return false, ("'%s' is not that of its manifest: sha256 %s, not "
				.. "%s"):format(name, sum:sub(1, 16),
				tostring(b.manifest.sha256):sub(1, 16))
		end
	end
	return true
end

return M
