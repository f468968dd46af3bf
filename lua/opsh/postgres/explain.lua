-- postgres.explain: the plan of a statement, also of one with $1 in it: PREPAREd in a
-- READ ONLY transaction, and EXPLAIN EXECUTE by the generic plan. ANALYZE runs a read
-- in a READ ONLY transaction, a write in one that is rolled back. Judges nothing but
-- what a plan says; asking before a write is the caller's.
local activity = require "opsh.postgres.activity"
local postgres = require "opsh.postgres"

local M = {}

-- A name that no other run has taken in a session that a pooler gave us.
local count = 0
local function name_of(db)
	count = count + 1
	return ("opsh_explain_%d_%d_%d"):format(db:value "select pg_backend_pid()",
		math.random(1 << 30), count)
end

local function first_plan(rows) return rows[1][1][1] end

local ROLLBACK <const> = {}	-- what ends a transaction that must not last

-- Runs f(tx) in a transaction that is rolled back whatever happens.
local function rolled_back(db, opts, f)
	local result
	local ok, e = pcall(db.transaction, db, function(tx)
		result = f(tx)
		error(ROLLBACK, 0)
	end, opts)
	if not ok and e ~= ROLLBACK then error(e, 0) end
	return result
end

---The plan that is made without values for $1 to $n: for all of them.
---@param db opsh.postgres.client
---@param sql string
---@return table plan {Plan =, ...} as EXPLAIN (FORMAT JSON) has it
---@return string[] types of the parameters
function M.generic(db, sql)
	local name, types = name_of(db), nil
	local plan = rolled_back(db, { readonly = true }, function(tx)
		tx:exec "set local plan_cache_mode = force_generic_plan"
		tx:query(("prepare %s as %s"):format(name, sql))
		types = tx:value([[select parameter_types::text[] from
			pg_prepared_statements where name = $1]], name) or {}
		local values = ("null, "):rep(#types):sub(1, -3)
		return first_plan(tx:query(("explain (format json) execute %s%s"):format(
			name, #types > 0 and "(" .. values .. ")" or "")))
	end)
	return plan, types
end

---The plan for these values; without any for a statement that has no $n.
---@param db opsh.postgres.client
---@param sql string
---@param values? string[]
---@return table plan
function M.plan(db, sql, values)
	return first_plan(db:query("explain (format json) " .. sql,
		table.unpack(values or {})))
end

---Runs the statement and says where its time goes. A write needs `write`, and a
---guard (verb "explain") when it is destructive: it is run in a transaction that is
---rolled back; in a plan it gives nil. Sequences stay advanced, and whoever wants
---the same rows waits.
---@param db opsh.postgres.client
---@param sql string
---@param values? string[]
---@param opts? {write?: boolean, timeout?: number}
---@return table? plan
function M.analyze(db, sql, values, opts)
	local text = "explain (analyze, buffers, format json) " .. sql
	local args = table.move(values or {}, 1, #(values or {}), 1, {})
	args[#args + 1] = { timeout = opts and opts.timeout }
	if not (opts and opts.write) then
		return first_plan(db:query(text, table.unpack(args)))
	end
	args[#args].class, args[#args].expect = "destructive", {}
	return rolled_back(db, nil, function(tx)
		local reply = tx:exec(text, table.unpack(args))
		return reply.rows and first_plan(reply.rows)
	end)
end

-- What a node does and on what.
local function title(node)
	local parts = { node["Node Type"] }
	if node["Join Type"] and node["Join Type"] ~= "Inner" then
		parts[#parts + 1] = node["Join Type"]:lower()
	end
	if node.Operation then parts[1] = node.Operation end
	if node["Index Name"] then parts[#parts + 1] = "by " .. node["Index Name"] end
	if node["Relation Name"] then
		parts[#parts + 1] = "on " .. node["Relation Name"]
	end
	return table.concat(parts, " ")
end

local CONDITIONS <const> = { "Index Cond", "Recheck Cond", "Hash Cond",
	"Merge Cond", "Join Filter", "Filter" }

local function condition(node)
	local parts = {}
	for _, name in ipairs(CONDITIONS) do
		if node[name] then
			parts[#parts + 1] = name:lower() .. " " .. node[name]
		end
	end
	if node["Sort Key"] then
		parts[#parts + 1] = "sort " .. table.concat(node["Sort Key"], ", ")
	end
	return table.concat(parts, "; ")
end

---The nodes as rows, one below the other.
---@param plan table
---@return table[] rows node, depth, cost, rows, actual, loops, ms, read, detail
function M.rows(plan)
	local rows = {}
	local function add(node, depth)
		local loops = node["Actual Loops"]
		rows[#rows + 1] = { depth = depth, node = ("· "):rep(depth) .. title(node),
			cost = node["Total Cost"], rows = node["Plan Rows"],
			actual = node["Actual Rows"], loops = loops,
			ms = loops and math.floor(node["Actual Total Time"] * loops * 1000
				+ 0.5) / 1000 or nil,
			read = node["Shared Read Blocks"], detail = condition(node) }
		for _, child in ipairs(node.Plans or {}) do add(child, depth + 1) end
	end
	add(plan.Plan, 0)
	return rows
end

local function notes_of(node, size_of, notes)
	local name, kind = node["Relation Name"], node["Node Type"]
	local actual, loops = node["Actual Rows"], node["Actual Loops"]
	local size = name and kind == "Seq Scan" and node.Filter
		and size_of(node.Schema, name)
	if size and size > 8 << 20 then
		notes[#notes + 1] = ("reads all of '%s' (%s) for %s: an index?"):format(
			name, activity.size(size), node.Filter)
	end
	if actual and loops and loops > 0 and math.max(actual, node["Plan Rows"]) > 100
		and (actual > 10 * node["Plan Rows"] or node["Plan Rows"] > 10 * actual) then
		notes[#notes + 1] = ("%s: %d rows were expected, %d came: opsh run "
			.. "postgres/maintain%s"):format(title(node), node["Plan Rows"], actual,
			name and " table=" .. name or "")
	end
	if node["Sort Space Type"] == "Disk" then
		notes[#notes + 1] = ("sorts %s on disk: work_mem is too small for "
			.. "it"):format(activity.size(node["Sort Space Used"] * 1024))
	end
	for _, child in ipairs(node.Plans or {}) do
		notes_of(child, size_of, notes)
	end
	return notes
end

---What stands out in a plan: large tables read whole, estimates that are far off,
---sorts on disk.
---@param db opsh.postgres.client
---@param plan table
---@return string[]
function M.notes(db, plan)
	return notes_of(plan.Plan, function(schema, name)
		return db:value([[select max(pg_table_size(c.oid)) from pg_class c
			join pg_namespace n on n.oid = c.relnamespace where c.relname = $1
			and ($2::text is null or n.nspname = $2)]], name, schema)
	end, {})
end

---What a statement is: read or not, how many parameters, whether EXPLAIN takes it.
---@param sql string
---@return {class: string, parameters: integer, why: string, explains: boolean, error?: string}
function M.judge(sql)
	local v = postgres.judge(sql)
	local tag = v.tags and v.tags[1] or ""
	local explains = { SELECT = true, INSERT = true, UPDATE = true,
		DELETE = true, MERGE = true, VALUES = true, TABLE = true,
		["CREATE TABLE AS"] = true, EXECUTE = false }
	return { class = v.class, parameters = v.parameters, why = v.why,
		error = v.error, explains = not v.error and v.statements == 1
		and explains[tag] == true }
end

return M
