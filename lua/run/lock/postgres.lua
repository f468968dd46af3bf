-- lock.postgres: locks as rows of a table, opsh_locks, which the first lock makes
-- where the user may create one. A row stays when its lock is free, and its token
-- with it. Each change is one statement by token and nonce; all times are the
-- server's. Owns the table; must not use a user's client.
local err = require "opsh.c.err"
local fail = require "run.fail"
local holder = require "run.holder"
local json = require "opsh.c.json"

local Postgres = {}
Postgres.__index = Postgres

local UNDEFINED_TABLE, DUPLICATE_TABLE, UNIQUE = "42P01", "42P07", "23505"
local LOCK_NOT_AVAILABLE = "55P03"

-- Of each transaction: one that stands still between its statement and its COMMIT
-- (SIGSTOP, a suspended machine) must not keep the row for longer than a lease,
-- and who comes upon such a row is not to wait for it.
local SETTINGS = [[
(select set_config('idle_in_transaction_session_timeout', '2000', true),
  set_config('lock_timeout', '%d', true)) as s]]

local CREATE = [[
create table if not exists %s (resource text primary key, token bigint not null,
  nonce text, record text, expires timestamptz)]]

local ACQUIRE = [[
insert into %s as l (resource, token, nonce, record, expires)
select $1::text, 1, $2::text, $3::text,
  clock_timestamp() + $4::float8 * interval '1 second' from %s
on conflict (resource) do update set token = l.token + 1,
  nonce = excluded.nonce, record = excluded.record, expires = excluded.expires
where l.nonce is null or l.expires <= clock_timestamp()
returning token]]

local RENEW = [[
update %s set record = $4::text,
  expires = clock_timestamp() + $5::float8 * interval '1 second' from %s
where resource = $1::text and token = $2::bigint and nonce = $3::text
  and expires > clock_timestamp()]]

local RELEASE = [[
update %s set nonce = null, record = null, expires = null from %s
where resource = $1::text and token = $2::bigint and nonce = $3::text]]

local READ = [[
select resource, token, record,
  extract(epoch from expires - clock_timestamp())::float8 as remaining
from %s where nonce is not null and ($1::text is null or resource = $1::text)]]

-- Runs f; without the table yet: what `otherwise` says.
local function with_table(f, otherwise)
	local ok, r = pcall(f)
	if ok then return r end
	if not (err.is(r) and r.code == UNDEFINED_TABLE) then error(r, 0) end
	return otherwise()
end

-- A statement with the table and the settings in it, as an effect.
function Postgres:change(sql, ...)
	return self.db:exec(sql:format(self.table, self.settings), ...)
end

-- Two may do so at once: the server lets one, the other finds it there.
function Postgres:create()
	local ok, e = pcall(self.db.exec, self.db, CREATE:format(self.table))
	if not ok and not (err.is(e) and (e.code == DUPLICATE_TABLE
		or e.code == UNIQUE)) then
		error(e, 0)
	end
end

function Postgres:acquire(resource, me, ttl)
	local function insert()
		return self:change(ACQUIRE, resource, me.nonce, json.encode(me), ttl)
	end
	local ok, r = pcall(with_table, insert, function()
		self:create()
		return insert()
	end)
	if not ok and not (err.is(r) and r.code == LOCK_NOT_AVAILABLE) then
		error(r, 0)
	end
	if not ok or r.count == 0 then return nil, self:read(resource) end
	return r.rows[1].token
end

function Postgres:renew(resource, token, me, ttl)
	local r = self:change(RENEW, resource, token, me.nonce, json.encode(me),
		ttl)
	if r.count == 0 then return false, self:read(resource) end
	return true
end

function Postgres:release(resource, token, nonce)
	return self:change(RELEASE, resource, token, nonce).count == 1
end

Postgres.break_ = Postgres.release

function Postgres:list(resource)
	local out = {}
	local rows = with_table(function()
		return self.db:query(READ:format(self.table), resource or json.null)
	end, function() return {} end)
	for i = 1, #rows do
		local row = rows[i]
		out[i] = holder.new(row.resource, json.decode(row.record), row.token,
			row.remaining)
	end
	return out
end

function Postgres:read(resource) return self:list(resource)[1] end

---The store on a target of kind postgres. prefix of the configuration: of the
---table's name, with its schema when it has one.
---@param lock table of the configuration
---@param client any a client of its own
---@return table store
return function(lock, client)
	local prefix = lock.prefix or "opsh_"
	if not (prefix .. "locks"):match "^[%l_][%l%d_]*$" and not (prefix
		.. "locks"):match "^[%l_][%l%d_]*%.[%l_][%l%d_]*$" then
		fail.config("prefix '%s' of lock is no start of a table's name: small "
			.. "letters, digits and '_', after a schema's name and '.' if "
			.. "there is one", prefix)
	end
	local wait = math.min(2, (lock.ttl or 30) / 5)
	return setmetatable({ db = client, table = prefix .. "locks",
		settings = SETTINGS:format(math.floor(wait * 1000)) }, Postgres)
end
