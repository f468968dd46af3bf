-- postgres.settings: a setting of the server as it is: its value, where that comes
-- from, what stands over it, what it takes to change it; and the ALTER SYSTEM for it,
-- with the one that undoes it. Reads only; sending them is the playbook's.
local err = require "opsh.c.err"
local postgres = require "opsh.postgres"

local M = {}

-- Settings whose value is a list of names: each is quoted apart.
local LISTS <const> = { shared_preload_libraries = true,
	session_preload_libraries = true, local_preload_libraries = true,
	search_path = true, temp_tablespaces = true, unix_socket_directories = true }

-- What may lose data, or lock everybody out, and why.
M.dangers = {
	fsync = "off loses data at the next crash",
	full_page_writes = "off loses data at the next crash",
	synchronous_commit = "off loses the last commits at a crash",
	zero_damaged_pages = "on throws damaged data away",
	ignore_checksum_failure = "on reads damaged data as if it were sound",
	listen_addresses = "nobody may be able to connect after the restart",
	port = "nobody finds the server after the restart",
	unix_socket_directories = "nobody finds its socket after the restart",
	ssl = "clients that ask for TLS, or can't speak it, are shut out",
	hba_file = "nobody may be able to log in",
	data_directory = "the server starts on other data, or not at all",
	wal_level = "standbys and archives may stop",
	max_connections = "a standby whose value is lower stops its replay",
	shared_preload_libraries = "with a library that is missing the server does "
		.. "not start",
	synchronous_standby_names = "commits wait for standbys that are named here",
	default_transaction_read_only = "no session writes any more",
	session_replication_role = "triggers and foreign keys are passed over",
	allow_system_table_mods = "the catalog can be damaged",
}

---@class opsh.postgres.setting
---@field name string
---@field value string as SHOW has it
---@field raw string
---@field unit? string
---@field type string
---@field context string internal, postmaster, sighup, backend, superuser-backend, superuser, user
---@field source string
---@field file? string
---@field min? string
---@field max? string
---@field choices? string[]
---@field reset string
---@field boot string
---@field pending boolean waits for a restart
---@field description string
---@field auto? string what postgresql.auto.conf holds
---@field auto_hidden? boolean this role may not read that file
---@field over table[] {where, value}: stand over it for a database or a role

local SETTING <const> = [[
select s.name, current_setting(s.name, true) as value, s.setting as raw, s.unit,
  s.vartype as type, s.context, s.source, s.sourcefile as file,
  s.min_val as min, s.max_val as max, s.enumvals as choices,
  s.reset_val as reset, s.boot_val as boot, s.pending_restart as pending,
  s.short_desc as description
from pg_settings s where lower(s.name) = lower($1)]]

local OVER <const> = [[
select concat_ws(' ', 'database ' || d.datname, 'role ' || r.rolname) as
  "where", substr(c, strpos(c, '=') + 1) as value
from pg_db_role_setting o left join pg_database d on d.oid = o.setdatabase
left join pg_roles r on r.oid = o.setrole, unnest(o.setconfig) c
where split_part(c, '=', 1) = $1 order by 1]]

-- The last one in the file counts. Only some roles may read it.
local AUTO <const> = [[
select setting from pg_file_settings where name = $1
  and sourcefile like '%/postgresql.auto.conf' order by seqno desc limit 1]]

---One setting, or nil when the server has none of that name.
---@param db opsh.postgres.client
---@param name string
---@return opsh.postgres.setting?
function M.get(db, name)
	local s = postgres.list(db:query(SETTING, name))[1]
	if not s then return nil end
	s.over = postgres.list(db:query(OVER, s.name))
	local ok, auto = pcall(db.value, db, AUTO, s.name)
	if ok then
		s.auto = auto
	elseif not (err.is(auto) and auto.code == "42501") then
		error(auto, 0)
	else
		s.auto_hidden = true
	end
	return s
end

---Names that are like a wrong one.
---@param db opsh.postgres.client
---@param name string
---@return string[]
function M.similar(db, name)
	local out = {}
	for n, row in ipairs(db:query([[select name from pg_settings
		where name like '%' || lower($1) || '%' or lower($1) like '%' || name || '%'
		or split_part(name, '_', 1) = split_part(lower($1), '_', 1)
		order by name limit 8]], name)) do
		out[n] = row.name
	end
	return out
end

local function quote(text) return "'" .. text:gsub("'", "''") .. "'" end

local function identifier(name)
	local parts = {}
	for part in name:gmatch "[^.]+" do
		parts[#parts + 1] = '"' .. part:gsub('"', '""') .. '"'
	end
	return table.concat(parts, ".")
end

---The statement that sets it; without a value the one that takes it out again.
---@param name string
---@param value? string
---@return string
function M.statement(name, value)
	if not value then return "alter system reset " .. identifier(name) end
	local list = { value }
	if LISTS[name] and value ~= "" then
		list = {}
		for item in value:gmatch "[^,]+" do
			list[#list + 1] = item:match "^%s*(.-)%s*$"
		end
	end
	for n, item in ipairs(list) do list[n] = quote(item) end
	return ("alter system set %s = %s"):format(identifier(name),
		table.concat(list, ", "))
end

---What has to happen until a new value counts.
---@param setting opsh.postgres.setting
---@return "restart"|"reload"|"never"
---@return string in words
function M.takes(setting)
	local context = setting.context
	if context == "internal" then
		return "never", "it is fixed when the server is built or initialised"
	elseif context == "postmaster" then
		return "restart", "the server has to be restarted"
	elseif context == "backend" or context == "superuser-backend" then
		return "reload", "new sessions have it after a reload"
	end
	return "reload", "all have it after a reload"
end

local BOOLEAN <const> = { on = true, off = true, ["true"] = true,
	["false"] = true, yes = true, no = true, ["1"] = true, ["0"] = true }

---Why a value can't be right, or nil; the server judges the rest.
---@param setting opsh.postgres.setting
---@param value string
---@return string?
function M.wrong(setting, value)
	if value:find "%z" then return "it has a NUL byte" end
	if setting.type == "bool" and not BOOLEAN[value:lower()] then
		return "it is on or off"
	elseif setting.type == "enum" then
		for _, choice in ipairs(setting.choices or {}) do
			if choice:lower() == value:lower() then return nil end
		end
		if BOOLEAN[value:lower()] then return nil end
		return "it is one of " .. table.concat(setting.choices or {}, ", ")
	elseif setting.type == "integer" or setting.type == "real" then
		local number, unit = value:match "^%s*([-+]?[%d.]+[eE]?[-+]?%d*)%s*(%a*)%s*$"
		number = tonumber(number)
		if not number then return "it is no number" end
		if unit ~= "" and not setting.unit then return "it has no unit" end
		if unit == "" and (number < tonumber(setting.min)
			or number > tonumber(setting.max)) then
			return ("it is from %s to %s%s"):format(setting.min, setting.max,
				setting.unit and " " .. setting.unit or "")
		end
	end
end

return M
