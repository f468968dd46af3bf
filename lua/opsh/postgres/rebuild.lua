-- postgres.rebuild: a database made again from a backup: created as its manifest
-- says (owner, encoding, locale, settings, privileges), filled by pg_restore, and
-- counted. Also what stands against it beforehand. Owns no name: callers say which
-- database it is to be, and drop it.
local census = require "opsh.postgres.census"
local err = require "opsh.c.err"

local M = {}

local ident, literal = census.ident, census.literal

-- Settings whose stored text is a list of names, already in quotes.
local LISTS <const> = { search_path = true, temp_tablespaces = true,
	session_preload_libraries = true, shared_preload_libraries = true,
	local_preload_libraries = true, unix_socket_directories = true }

---Is there a database of this name?
---@param db opsh.postgres.client
---@param name string
---@return boolean
function M.exists(db, name)
	return db:value("select count(*) from pg_database where datname = $1", name) > 0
end

-- Roles and extensions of the manifest that the server has not got.
local function lacking(db, manifest, opts)
	local against = {}
	local roles = {}
	for _, role in ipairs(opts.owners and manifest.roles or {}) do
		if not db:value("select true from pg_roles where rolname = $1", role) then
			roles[#roles + 1] = role
		end
	end
	if #roles > 0 then
		against[1] = ("there is no role %s here (owners=false restores without)")
			:format(table.concat(roles, ", "))
	end
	for _, e in ipairs(manifest.extensions or {}) do
		local row = db:one([[select coalesce(bool_or(v.superuser and not v.trusted
			and not (select rolsuper from pg_roles
				where rolname = current_user)), false) as super,
			count(*) as n from pg_available_extension_versions v
			where v.name = $1]], e.name)
		if row.n == 0 then
			against[#against + 1] = ("extension '%s' is not installed on the "
				.. "server"):format(e.name)
		elseif row.super then
			against[#against + 1] = ("extension '%s' wants a superuser")
				:format(e.name)
		end
	end
	return against
end

---What stands against restoring this backup here: texts; and what is worth knowing.
---opts: owners (roles have to be there).
---@param db opsh.postgres.client
---@param tools opsh.postgres.tools
---@param manifest table
---@param opts {owners: boolean}
---@return string[] against
---@return string[] notes
function M.against(db, tools, manifest, opts)
	local against, notes = lacking(db, manifest, opts), {}
	local can = db:one [[select rolsuper or rolcreatedb as create, rolsuper as super
		from pg_roles where rolname = current_user]]
	if not can.create then
		table.insert(against, 1, "its role may not create databases")
	end
	local _, client = tools:version "pg_restore"
	local made_by = tonumber((manifest.client_version or ""):match "^%d+")
	if made_by and client < made_by then
		against[#against + 1] = ("pg_restore %d can't read what pg_dump %d wrote")
			:format(client, made_by)
	end
	local from = (manifest.version_num or 0) // 10000
	if from > tools.major then
		notes[#notes + 1] = ("from server %d to the older %d: it may not know all "
			.. "that is in it"):format(from, tools.major)
	end
	return against, notes
end

-- What CREATE DATABASE is to say, of the manifest's row of pg_database.
local function create_text(name, manifest, opts)
	local row = manifest.database_row
	local words = { "create database", ident(name), "template template0 encoding",
		literal(manifest.encoding) }
	local function add(keyword, value)
		if type(value) == "string" and value ~= "" then
			words[#words + 1] = keyword
			words[#words + 1] = literal(value)
		end
	end
	add("lc_collate", row.datcollate)
	add("lc_ctype", row.datctype)
	local provider = ({ c = "libc", i = "icu", b = "builtin" })[row.datlocprovider]
	if provider and provider ~= "libc" then
		add("locale_provider", provider)
		add(provider == "icu" and "icu_locale" or "builtin_locale", row.daticulocale
			or row.datlocale)
	end
	if opts.owners then
		words[#words + 1] = "owner " .. ident(manifest.owner)
	end
	return table.concat(words, " ")
end

---Makes the database, empty. opts: owners (its owner too).
---@param db opsh.postgres.client
---@param name string
---@param manifest table
---@param opts {owners: boolean}
function M.create(db, name, manifest, opts)
	db:exec(create_text(name, manifest, opts), { timeout = 300 })
end

local function setting(db, name, s)
	local key, value = s:match "^([%w_.]+)=(.*)$"
	if not key then return end
	db:exec(("alter database %s set %s to %s"):format(ident(name), key:gsub("[^.]+",
		ident), LISTS[key] and value ~= "" and value or literal(value)))
end

---Settings and privileges of the database itself, which a dump does not have.
---Settings of a role in it too, where owners is set.
---@param db opsh.postgres.client
---@param name string
---@param manifest table
---@param opts {owners: boolean}
function M.dress(db, name, manifest, opts)
	for _, group in ipairs(manifest.settings or {}) do
		for _, s in ipairs(group.role == nil and group.config or {}) do
			setting(db, name, s)
		end
	end
	if not opts.owners then return end
	db:exec(("revoke all on database %s from public"):format(ident(name)))
	for _, p in ipairs(manifest.privileges or {}) do
		if p.role ~= manifest.owner then
			db:exec(("grant %s on database %s to %s%s"):format(
				p.privilege:match "^[%u ]+$" or "connect", ident(name),
				p.role and ident(p.role) or "public", p.grantable
				and " with grant option" or ""))
		end
	end
end

---Fills an empty database from a dump. opts: owners, jobs, timeout. Raises what
---pg_restore said first, when it said anything: nothing is passed over.
---@param tools opsh.postgres.tools
---@param name string
---@param dump string path
---@param opts {owners: boolean, jobs?: integer, timeout?: number}
function M.fill(tools, name, dump, opts)
	local args = { "--exit-on-error", "--no-password" }
	if not opts.owners then
		args[3], args[4] = "--no-owner", "--no-privileges"
	end
	local more = { database = name, timeout = opts.timeout or 7200,
		expect = { status = 0, stdout = "", stderr = "" } }
	if tools.orchestrator then
		more.stdin = { file = dump }
	else
		args[#args + 1] = "--jobs=" .. (opts.jobs or 2)
		args[#args + 1] = dump
	end
	tools:run("pg_restore", args, more)
end

---Compares a restored database with its manifest: rows of each table, objects by
---kind, large objects, and that each foreign key is one that the server has checked.
---@param db opsh.postgres.client
---@param name string
---@param manifest table
---@param opts? {timeout?: number, each?: fun(n: integer, total: integer)}
---@return {what: string, wanted?: integer, found?: integer}[] differences
---@return table count of opsh.postgres.census
function M.compare(db, name, manifest, opts)
	local other = db:database(name)
	local _ <close> = setmetatable({}, { __close = function() other:close() end })
	local found = census.count(other, opts)
	return census.compare(manifest, found), found
end

---Drops a database, with the sessions that are on it; destructive, verb "DROP
---DATABASE".
---@param db opsh.postgres.client
---@param name string
function M.drop(db, name)
	local force = tonumber(db:identity().version:match "^%d+") >= 13
	db:exec(("drop database if exists %s%s"):format(ident(name), force
		and " with (force)" or ""), { timeout = 600 })
end

---What the manifest says, in one line.
---@param manifest table
---@return string
function M.summary(manifest)
	return ("'%s' of %s, server %s: %d tables, %d rows, %d large objects"):format(
		manifest.database, manifest.time, manifest.server_version,
		#manifest.tables, manifest.rows, manifest.objects["large objects"] or 0)
end

---Raises kind check with all that stands against it.
---@param against string[]
function M.refuse(against)
	if #against == 0 then return end
	error(err.new { kind = "check", message = table.concat(against, "; ") }, 0)
end

return M
