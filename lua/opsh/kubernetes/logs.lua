-- kubernetes.logs: logs of pods as lines with service, instance and time. What is
-- there already is read pod by pod and merged by time; what is followed comes from
-- one kubectl a service. Owns the processes that it starts until the iterator is
-- closed; must not leave one behind.
local err = require "opsh.c.err"
local field = require "opsh.kubernetes.field"
local said = require "opsh.kubernetes.said"
local task = require "opsh.task"
local workload = require "opsh.kubernetes.workload"

local M = {}

local MAX_FOLLOWED = 50		-- pods of one service, for kubectl

---A line of kubectl logs --timestamps, with --prefix or without.
---@param line string
---@param service string
---@param name? string of the pod, where the line does not say it
---@return opsh.orchestrator.line
function M.parse(line, service, name)
	local pod, rest = line:match "^%[pod/([^/%]]+)/[^%]]*%] ?(.*)$"
	if pod and not name then
		name, line = pod, rest
	end
	local stamp, text = line:match "^(%d%d%d%d%-%d%d%-%d%dT[%d:.]+[Z+-]?[%d:]*) ?(.*)$"
	return { service = service, name = name or service,
		time = stamp and field.time(stamp), text = text or line }
end

-- The options of kubectl for ours.
local function words_for(opts)
	local words = { "logs", "--timestamps" }
	if opts.tail then
		words[#words + 1] = "--tail="
			.. said.integer(opts.tail, "option 'tail'", 0)
	end
	if opts.since then
		if type(opts.since) ~= "number" or opts.since ~= opts.since
			or opts.since <= 0 or opts.since > 1e9 then
			said.usage("option 'since' must be seconds ago, more than 0")
		end
		words[#words + 1] = ("--since=%ds"):format(math.ceil(opts.since))
	end
	if opts.previous then words[#words + 1] = "--previous" end
	if opts.container then
		words[#words + 1] = "--container=" .. said.name(opts.container, "container")
	end
	return words
end

-- --- what is there already ------------------------------------------------------

-- A pod that has no log (yet, any more, of before) is none of the failure of all.
local function no_log(e)
	local text = err.is(e) and type(e.stderr) == "string" and e.stderr or ""
	return text:find("previous terminated container", 1, true)
		or text:find("is waiting to start", 1, true)
		or text:find("ContainerCreating", 1, true)
		or text:find("PodInitializing", 1, true)
		or text:find("unable to retrieve container logs", 1, true)
		or text:find("does not have a host assigned", 1, true)
		or err.is(e) and e.code == "NotFound"
end

local function lines_of(self, pod, words)
	words = table.move(words, 1, #words, 1, {})
	words[#words + 1] = "pod/" .. pod.name
	local fine, result = pcall(self.call.run, self.call, words)
	if not fine then return nil, result end
	local out = {}
	for line in result.stdout:gmatch "([^\n]*)\n?" do
		out[#out + 1] = line
	end
	if out[#out] == "" then out[#out] = nil end
	-- a kubelet that has no such log says so in its place
	if #out == 1 and out[1]:find "^unable to retrieve container logs" then
		return nil, err.new { kind = "server", code = "NO_LOG", op = "logs",
			message = ("pod '%s' has no such log: %s"):format(pod.name, out[1]),
			target = self.call.target:name(), stderr = out[1] }
	end
	for n, line in ipairs(out) do out[n] = M.parse(line, pod.service, pod.name) end
	return out
end

---Lists of lines as one, by time; lines of one list keep their order.
---@param lists opsh.orchestrator.line[][]
---@return opsh.orchestrator.line[]
function M.merge(lists)
	if #lists == 1 then return lists[1] end
	local all, order = {}, {}
	for _, list in ipairs(lists) do
		local time = 0
		for _, line in ipairs(list) do
			time = math.max(line.time or time, time)
			all[#all + 1] = line
			order[line] = { time, #all }
		end
	end
	table.sort(all, function(a, b)
		local x, y = order[a], order[b]
		if x[1] ~= y[1] then return x[1] < y[1] end
		return x[2] < y[2]
	end)
	return all
end

local function present(self, pods, opts)
	local words, lists, first = words_for(opts), {}, nil
	local got = task.map(pods, { limit = 4 }, function(pod)
		local list, e = lines_of(self, pod, words)
		return { list = list, e = e }
	end)
	for _, one in ipairs(got) do
		if one.list then
			lists[#lists + 1] = one.list
		elseif not no_log(one.e) then
			error(one.e, 0)
		else
			first = first or one.e
		end
	end
	if #lists == 0 and first then error(first, 0) end
	local lines, at = M.merge(lists), 0
	return function()
		at = at + 1
		return lines and lines[at]
	end, nil, nil, nil
end

-- --- what comes -------------------------------------------------------------------

-- What to follow: one kubectl for a service whose labels say its pods, else one a pod.
local function sources(self, services, opts)
	local out = {}
	if opts.instance then
		local pod = self:instances(services, opts)[1]
		return { { service = pod.service, name = pod.name,
			words = { "pod/" .. pod.name } } }
	end
	for _, service in ipairs(self:find(services)) do
		local selector = workload.selector(service.item)
		if selector then
			out[#out + 1] = { service = service.name, words = {
				"--selector=" .. selector, "--prefix",
				"--max-log-requests=" .. MAX_FOLLOWED } }
		else
			for _, pod in ipairs(self:status(service.name)) do
				out[#out + 1] = { service = service.name, name = pod.name,
					words = { "pod/" .. pod.name } }
			end
		end
	end
	return out
end

local function start(self, source, opts)
	local words = words_for(opts)
	words[#words + 1] = "--follow"
	-- with labels kubectl shows ten lines unless it is told
	if not opts.tail then words[#words + 1] = "--tail=-1" end
	table.move(source.words, 1, #source.words, #words + 1, words)
	return self.call:start(words)
end

-- The lines of one process; its failure, translated, when it ends with one.
local function reader(self, source, process)
	local next_line = process:lines()
	return function()
		local line = next_line(process)
		if line then return M.parse(line, source.service, source.name) end
		local fine, e = pcall(process.wait, process)
		if not fine then
			error(require("opsh.kubernetes.call").translate(self.call, e, "logs"), 0)
		end
	end
end

-- Several at once: a task each puts its lines into one queue.
local function together(readers)
	local queue, first, last, live, failed = {}, 1, 0, #readers, nil
	local tasks = {}
	for n, read in ipairs(readers) do
		tasks[n] = task.spawn(function()
			local fine, e = pcall(function()
				for line in read do
					while last - first > 1000 do task.sleep(0.05) end
					last = last + 1
					queue[last] = line
				end
			end)
			live = live - 1
			if not fine then failed = failed or e end
		end)
	end
	return function()
		while first > last do
			if failed then error(failed, 0) end
			if live == 0 then return nil end
			task.sleep(0.05)
		end
		local line = queue[first]
		queue[first], first = nil, first + 1
		return line
	end, tasks
end

local function follow(self, services, opts)
	local processes, readers, tasks = {}, {}, {}
	local closer = setmetatable({}, { __close = function()
		for _, handle in ipairs(tasks) do handle:cancel() end
		for _, process in ipairs(processes) do
			local _ <close> = process
		end
		processes, tasks = {}, {}
	end })
	local fine, e = pcall(function()
		for n, source in ipairs(sources(self, services, opts)) do
			processes[n] = start(self, source, opts)
			readers[n] = reader(self, source, processes[n])
		end
	end)
	if not fine then
		do local _ <close> = closer end
		error(e, 0)
	end
	if #readers == 0 then return function() end, nil, nil, nil end
	if #readers == 1 then return readers[1], nil, nil, closer end
	local next_line
	next_line, tasks = together(readers)
	return next_line, nil, nil, closer
end

---An iterator of lines; `for` closes it, and ends what it started. What is there
---already is read at once, and sorted by time over all pods. A pod that has no log
---is passed over, unless none has one. Followed, the pods are those of the start.
---@param self opsh.kubernetes.client
---@param services? string|string[]
---@param opts? table tail since follow previous instance container
---@return fun(): opsh.orchestrator.line?
---@return nil
---@return nil
---@return any closed by `for`
function M.open(self, services, opts)
	opts = said.options(opts, "logs",
		"tail since follow previous instance container")
	if opts.follow and opts.previous then
		said.usage("options 'follow' and 'previous' of logs exclude each other")
	end
	if opts.follow then return follow(self, services, opts) end
	local pods = {}
	for _, row in ipairs(self:instances(services, opts)) do
		if row.state ~= "missing" then pods[#pods + 1] = row end
	end
	return present(self, pods, opts)
end

return M
