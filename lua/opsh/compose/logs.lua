-- compose.logs: the lines of a project's containers as one stream. What is there
-- is read container by container and merged by time, in constant memory; what is
-- still to come is followed through compose itself, which sees containers come and
-- go. Owns the processes that read; leaving the loop ends them.
local docker = require "opsh.docker"

local M = {}

local LINE <const> = 1 << 20	-- bytes of one line, at most

-- Ends all of them: for `for`, and for a failure half way.
local function closing(list)
	return setmetatable({}, { __close = function()
		for _, reader in ipairs(list) do
			local _ <close> = reader.process
		end
	end })
end

local function advance(engine, reader)
	local line = reader.lines(reader.process)
	if not line then
		docker.finish(engine, reader.process)
		reader.line = nil
		return
	end
	local time, text = docker.stamped(line)
	-- a line without a time belongs to the one before it
	reader.time = time or reader.time or 0
	reader.line = { service = reader.row.service, name = reader.row.name,
		time = time or reader.time, text = text }
end

-- When what a container says is no more of its life before, as docker takes a time:
-- the last lines of that one may be younger than its end, the first ones of this one
-- older than its start, since docker notes both a moment later or sooner.
local function divide(row)
	local finished, started = row.finished, row.started
	if not finished then return "1" end
	if started and started > finished then
		finished = (finished + started) / 2
	end
	return ("%.6f"):format(finished)
end

---What is in the logs of these containers, merged by time.
---@param engine opsh.docker.engine
---@param list opsh.orchestrator.row[] with `id`
---@param opts {tail?: integer, since?: number, previous?: boolean, timeout?: number}
---@return fun(): opsh.orchestrator.line?
function M.past(engine, list, opts)
	local readers = {}
	local guard = closing(readers)
	local ok, e = pcall(function()
		for _, row in ipairs(list) do
			local argv = { "docker", "logs", "--timestamps" }
			local function add(flag, value)
				table.move({ flag, value }, 1, 2, #argv + 1, argv)
			end
			if opts.tail then add("--tail", tostring(opts.tail)) end
			if opts.since then
				add("--since", docker.seconds(opts.since, "since") .. "s")
			end
			if opts.previous then add("--until", divide(row)) end
			argv[#argv + 1] = row.id
			local reader = { row = row }
			readers[#readers + 1] = reader
			reader.process = docker.open(engine, argv, { class = "read",
				verb = "logs", stderr = "stdout", max = LINE,
				timeout = opts.timeout or 600 })
			reader.lines = reader.process:lines()
		end
		for _, reader in ipairs(readers) do advance(engine, reader) end
	end)
	if not ok then
		local _ <close> = guard
		error(e, 0)
	end
	return function()
		local first
		for _, reader in ipairs(readers) do
			if reader.line and (not first or reader.time < first.time) then
				first = reader
			end
		end
		if not first then return nil end
		local line = first.line
		advance(engine, first)
		return line
	end, nil, nil, guard
end

-- "worker_1  | 2026-01-02T03:04:05.6Z text" -> name, time, text; compose's own
-- words ("Attaching to ...") have no '|'.
local function prefixed(line)
	local name, rest = line:match "^(%S+) *| ?(.*)$"
	if not name then return nil end
	local time, text = docker.stamped(rest)
	return name, time, text
end
M.prefixed = prefixed

-- What stands before the '|' -> service and the container's name. Containers that
-- come later are told by the form "service_2" or "service-2".
local function names_of(list, project, prefix)
	for _, row in ipairs(list) do
		local short = row.name
		if short:sub(1, #project + 1):find("^" .. project:gsub("%-", "%%-")
			.. "[_-]$") then
			short = short:sub(#project + 2)
		end
		if prefix == short or prefix == row.name then
			return row.service, row.name
		end
	end
	local service, mark = prefix:match "^(.-)([_-])%d+$"
	if not service then return prefix, prefix end
	return service, project .. mark .. prefix
end

---The lines as they come, until the loop is left.
---@param project opsh.compose.project
---@param list opsh.orchestrator.row[]
---@param services string[]
---@param opts {tail?: integer, since?: number, instance?: string, timeout?: number}
---@return fun(): opsh.orchestrator.line?
function M.follow(project, list, services, opts)
	local argv = project:argv("logs", "--no-color", "--timestamps", "--follow")
	local after
	if opts.tail then
		table.move({ "--tail", tostring(opts.tail) }, 1, 2, #argv + 1, argv)
	end
	if opts.since and project:is_v2() then
		table.move({ "--since", docker.seconds(opts.since, "since") .. "s" }, 1, 2,
			#argv + 1, argv)
	elseif opts.since then
		after = os.time() - opts.since
	end
	table.move(services, 1, #services, #argv + 1, argv)
	local process = docker.open(project.docker, argv, { class = "read",
		verb = "logs", inherit = true, max = LINE, timeout = opts.timeout })
	local lines = process:lines()
	return function()
		for text_line in function() return lines(process) end do
			local prefix, time, text = prefixed(text_line)
			if prefix and not (after and time and time < after) then
				local service, name = names_of(list, project:name(), prefix)
				if not opts.instance or opts.instance == name then
					return { service = service, name = name, time = time,
						text = text }
				end
			end
		end
		docker.finish(project.docker, process)
		return nil
	end, nil, nil, process
end

return M
