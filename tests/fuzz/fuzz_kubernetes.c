/*
 * fuzz_kubernetes: what kubectl prints. By the first byte: the input is a JSON
 * document, or it says how a document of each kind that is in use is bent: which
 * of its values are others. Whatever comes, the row makers give a table or raise
 * an error object; running out of memory is the one other way. Runs the real Lua
 * files from ./lua (or $OPSH_LUA). Linked with core and the JSON binding.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "core/err.h"

#define MAX_MEMORY (64u << 20)
#define MAX_INSTRUCTIONS 5000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int luaopen_opsh_c_json(lua_State *L);

/* Documents with every field that the rows look at. */
static const char documents[] =
	"local time = '2026-11-21T12:00:00Z'\n"
	"local container = { name = 'web', image = 'img:1', env = { { name = 'A',\n"
	"	value = 'b' }, { name = 'C', valueFrom = {} } }, envFrom = { {\n"
	"	secretRef = { name = 's' } } }, ports = { { containerPort = 8080,\n"
	"	hostPort = 80, hostIP = '0.0.0.0' } }, readinessProbe = {\n"
	"	initialDelaySeconds = 1, periodSeconds = 2, failureThreshold = 3 },\n"
	"	resources = { limits = { cpu = '250m', memory = '64Mi' } } }\n"
	"local function ended() return { exitCode = 137, signal = 9,\n"
	"	reason = 'OOMKilled', message = 'm', startedAt = time } end\n"
	"local function status(state) return { name = 'web', ready = false,\n"
	"	started = true, restartCount = 2, state = state, lastState = {\n"
	"	terminated = ended() } } end\n"
	"local function conditions() return { { type = 'Ready', status = 'False',\n"
	"	lastTransitionTime = time, reason = 'r', message = 'm' }, {\n"
	"	type = 'PodScheduled', status = 'True' }, { type = 'Progressing',\n"
	"	reason = 'ProgressDeadlineExceeded' }, { type = 'ReplicaFailure',\n"
	"	reason = 'FailedCreate' }, { type = 'DiskPressure', status = 'True' } } end\n"
	"local function workload(kind) return { kind = kind, metadata = {\n"
	"	name = 'web', uid = 'u', generation = 2, annotations = {\n"
	"	['deployment.kubernetes.io/revision'] = '3' } }, spec = { replicas = 2,\n"
	"	paused = false, strategy = { type = 'RollingUpdate', rollingUpdate = {\n"
	"	maxUnavailable = '25%' } }, updateStrategy = { rollingUpdate = {\n"
	"	maxUnavailable = 1 } }, selector = { matchLabels = { app = 'web' } },\n"
	"	template = { spec = { containers = { container } } } }, status = {\n"
	"	observedGeneration = 2, replicas = 2, updatedReplicas = 2,\n"
	"	readyReplicas = 1, availableReplicas = 1, desiredNumberScheduled = 1,\n"
	"	numberReady = 1, conditions = conditions() } } end\n"
	"local function pod(state) return { kind = 'Pod', metadata = {\n"
	"	name = 'web-abc-x', labels = { ['pod-template-hash'] = 'abc' },\n"
	"	ownerReferences = { { kind = 'ReplicaSet', name = 'web-abc', uid = 'u',\n"
	"	controller = true } } }, spec = { nodeName = 'n', restartPolicy =\n"
	"	'Always', containers = { container, container } }, status = {\n"
	"	phase = 'Running', reason = 'r', startTime = time, conditions =\n"
	"	conditions(), initContainerStatuses = { status { terminated = {\n"
	"	exitCode = 0 } } }, containerStatuses = { status(state) } } } end\n"
	"local items = { workload 'Deployment', workload 'StatefulSet',\n"
	"	workload 'DaemonSet', pod { running = { startedAt = time } },\n"
	"	pod { waiting = { reason = 'CrashLoopBackOff', message = 'm' } },\n"
	"	pod { waiting = { reason = 'ErrImagePull' } },\n"
	"	pod { terminated = ended() },\n"
	"	{ kind = 'Event', metadata = { creationTimestamp = time },\n"
	"	involvedObject = { name = 'web-abc-x', kind = 'Pod' }, reason = 'r',\n"
	"	type = 'Warning', message = 'm', count = 2, lastTimestamp = time,\n"
	"	series = { count = 3, lastObservedTime = time } },\n"
	"	{ kind = 'PodMetrics', metadata = { name = 'web-abc-x' },\n"
	"	containers = { { usage = { cpu = '1500n', memory = '12Ki' } } } },\n"
	"	{ kind = 'Node', metadata = { name = 'n', labels = {\n"
	"	['node-role.kubernetes.io/worker'] = '' } }, spec = {\n"
	"	unschedulable = true }, status = { conditions = conditions(),\n"
	"	allocatable = { cpu = '2', memory = '1Gi', pods = '110' },\n"
	"	nodeInfo = { kubeletVersion = 'v1' } } },\n"
	"	{ kind = 'HorizontalPodAutoscaler', metadata = { name = 'h' }, spec = {\n"
	"	minReplicas = 1, maxReplicas = 5, scaleTargetRef = { name = 'web' },\n"
	"	metrics = { { type = 'Resource', resource = { name = 'cpu', target = {\n"
	"	averageUtilization = 70 } } } } }, status = { currentReplicas = 2,\n"
	"	desiredReplicas = 3, conditions = conditions(), currentMetrics = { {\n"
	"	resource = { current = { averageValue = '100m' } } } } } },\n"
	"	{ kind = 'ControllerRevision', revision = 4, metadata = { name = 'r',\n"
	"	ownerReferences = { { uid = 'u' } } }, data = { spec = {} } },\n"
	"	{ kind = 'Ingress', metadata = { name = 'i' }, spec = {\n"
	"	ingressClassName = 'nginx', tls = { { secretName = 't' } }, rules = { {\n"
	"	host = 'a', http = { paths = { { path = '/', backend = { service = {\n"
	"	name = 'web', port = { number = 80 } } } } } } } } }, status = {\n"
	"	loadBalancer = { ingress = { { ip = '10.0.0.1' } } } } },\n"
	"	{ kind = 'Certificate', metadata = { name = 'c' }, spec = {\n"
	"	secretName = 't', dnsNames = { 'a' } }, status = { notAfter = time,\n"
	"	renewalTime = time, conditions = conditions() } } }\n"
	"return { kind = 'List', items = items }\n";

static const char driver[] =
	"local err, json, folder, documents = ...\n"
	"package.path, package.cpath = folder .. '/?.lua', ''\n"
	"package.loaded['opsh.c.err'] = err\n"
	"package.loaded['opsh.c.json'] = json\n"
	"package.loaded['opsh.task'] = {}\n"
	"local rows = require 'opsh.kubernetes.rows'\n"
	"local said = require 'opsh.kubernetes.said'\n"
	"local logs = require 'opsh.kubernetes.logs'\n"
	"local workload = require 'opsh.kubernetes.workload'\n"
	"local others = { 0, -1, 3.5, 0/0, 1/0, 1 << 62, true, false, json.null, '',\n"
	"	'x', ('x'):rep(300), '12', '-1', '1e999', '9Ei', '%', {}, { {} },\n"
	"	{ a = {} }, 'Deployment', 'Pod', 'True', 'Failed', 'Succeeded',\n"
	"	'Pending', 'OnDelete', 'Recreate', 'Never', 'OnFailure',\n"
	"	'CrashLoopBackOff', 'ContainerCreating', '9999-99-99T99:99:99Z',\n"
	"	'List', 'a/b', '\\0' }\n"
	"local function count(v)\n"
	"	local n = 1\n"
	"	for _, x in pairs(type(v) == 'table' and v or {}) do n = n + count(x) end\n"
	"	return n\n"
	"end\n"
	"local places = count(documents.items)\n"
	"-- three bytes each: which place, and what stands there instead\n"
	"local function bend(text)\n"
	"	local at, edits = 0, {}\n"
	"	for i = 1, #text - 2, 3 do\n"
	"		local hi, lo, what = text:byte(i, i + 2)\n"
	"		edits[(hi << 8 | lo) % places] = what % (#others + 1)\n"
	"	end\n"
	"	local function copy(v)\n"
	"		local edit = edits[at]\n"
	"		at = at + 1\n"
	"		if edit then return others[edit] end\n"
	"		if type(v) ~= 'table' then return v end\n"
	"		local keys, out = {}, {}\n"
	"		for k in pairs(v) do keys[#keys + 1] = k end\n"
	"		table.sort(keys, function(x, y)\n"
	"			return tostring(x) < tostring(y)\n"
	"		end)\n"
	"		for _, k in ipairs(keys) do out[k] = copy(v[k]) end\n"
	"		return out\n"
	"	end\n"
	"	-- the list and its items stay, or nothing would be looked at\n"
	"	local out = { kind = 'List', items = {} }\n"
	"	for n, item in ipairs(documents.items) do\n"
	"		out.items[n] = copy(item) or {}\n"
	"		if type(out.items[n]) == 'table' then\n"
	"			out.items[n].kind = out.items[n].kind or item.kind\n"
	"		end\n"
	"	end\n"
	"	return out\n"
	"end\n"
	"local ways = {\n"
	"	function(d) return rows.status(d, 1.7e9) end,\n"
	"	function(d) return rows.pods(d, 1.7e9) end,\n"
	"	function(d) return rows.events(d, { 'web', 'deployment/web' }, 0) end,\n"
	"	function(d) return rows.top(d, d) end,\n"
	"	rows.nodes, rows.hpa, rows.ingresses,\n"
	"	function(d) return rows.certificates(d, 1.7e9) end,\n"
	"	function(d)\n"
	"		local list = {}\n"
	"		for n, s in ipairs(rows.services(d)) do\n"
	"			list[n] = { workload.definition(s.item),\n"
	"				workload.rollout(s.item), rows.history(d, s.item) }\n"
	"		end\n"
	"		return list\n"
	"	end,\n"
	"	function(_, text)\n"
	"		said.of_program(text, 7)\n"
	"		return said.failure(text) or logs.parse(text, 's')\n"
	"	end,\n"
	"	function(_, text) return { said.resource(text) } end,\n"
	"	function(_, text) return { said.name(text, 'pod') } end,\n"
	"}\n"
	"return function(way, text)\n"
	"	local ok, value = pcall(function()\n"
	"		local d = way & 128 == 0 and bend(text) or json.decode(text)\n"
	"		return ways[way % #ways + 1](d, text)\n"
	"	end)\n"
	"	if ok and type(value) ~= 'table' then\n"
	"		error('not a table: ' .. tostring(value), 0)\n"
	"	elseif not ok and not err.is(value)\n"
	"	   and not tostring(value):find 'not enough memory' then\n"
	"		error('not an error object: ' .. tostring(value), 0)\n"
	"	end\n"
	"end\n";

static size_t used;

static void *limited(void *ud, void *ptr, size_t old, size_t size)
{
	void *p;

	(void)ud;
	if (!ptr)
		old = 0;
	if (!size) {
		used -= old;
		free(ptr);
		return NULL;
	}
	if (size > old && size - old > MAX_MEMORY - used)
		return NULL;
	p = realloc(ptr, size);
	if (p)
		used += size - old;
	return p;
}

/* Lines of our Lua files that ran: what the fuzzer is guided by. */
__attribute__((section("__libfuzzer_extra_counters")))
static uint8_t lines[1 << 14];

static void watch(lua_State *L, lua_Debug *ar)
{
	unsigned hash;
	const char *s;

	if (ar->event == LUA_HOOKCOUNT)
		luaL_error(L, "too many instructions");
	if (!lua_getinfo(L, "S", ar) || ar->currentline < 0)
		return;
	hash = (unsigned)ar->currentline * 31u;
	for (s = ar->short_src; *s; s++)
		hash = hash * 33u + (unsigned char)*s;
	lines[(hash ^ hash >> 15) % sizeof lines]++;
}

static _Noreturn void give_up(lua_State *L)
{
	fprintf(stderr, "fuzz_kubernetes: %s\n", luaL_tolstring(L, -1, NULL));
	abort();
}

static lua_State *start(void)
{
	const char *folder = getenv("OPSH_LUA");
	lua_State *L = lua_newstate(limited, NULL);

	if (!L)
		abort();
	luaL_openlibs(L);
	if (luaL_loadbuffer(L, driver, strlen(driver), "=driver"))
		give_up(L);
	lua_pushcfunction(L, luaopen_opsh_c_err);
	lua_call(L, 0, 1);
	lua_pushcfunction(L, luaopen_opsh_c_json);
	lua_call(L, 0, 1);
	lua_pushstring(L, folder ? folder : "lua");
	if (luaL_loadbuffer(L, documents, strlen(documents), "=documents") ||
	    lua_pcall(L, 0, 1, 0) || lua_pcall(L, 4, 1, 0))
		give_up(L);
	return L;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static lua_State *L;

	if (!L)
		L = start();
	if (!size)
		return 0;
	lua_settop(L, 1);
	lua_pushvalue(L, 1);
	lua_pushinteger(L, data[0]);
	lua_pushlstring(L, (const char *)data + 1, size - 1);
	lua_sethook(L, watch, LUA_MASKCOUNT | LUA_MASKLINE, MAX_INSTRUCTIONS);
	if (lua_pcall(L, 2, 0, 0))
		give_up(L);
	lua_sethook(L, NULL, 0, 0);
	lua_gc(L, LUA_GCSTEP, 0);
	return 0;
}
