-- redis.judge: is it a cache, that may be emptied, or does somebody keep things
-- in it? By its eviction policy, by the lifetimes and types of some of its keys,
-- by names. Reads only; what follows from it is the caller's to decide.
local sample = require "opsh.redis.sample"

local M = {}

local SAMPLE = 1000		-- keys that it rests on
local NO_TTL_MAX = 5	-- percent without TTL that a cache may have

-- Percent of these keys that have no TTL, and how many streams there are.
local function look_at(rows)
	local no_ttl, streams = 0, 0
	for _, row in ipairs(rows) do
		if not row.ttl then no_ttl = no_ttl + 1 end
		if row.type == "stream" then streams = streams + 1 end
	end
	return sample.percent(no_ttl, #rows), streams
end

-- "3 locks, 1 queue"
local function names_of(groups)
	local parts = {}
	for n, group in ipairs(groups) do
		parts[n] = ("%d %s%s"):format(group.keys, group.name,
			group.keys > 1 and "s" or "")
	end
	return table.concat(parts, ", ")
end

-- Locks, sessions and queues among these names, counted.
local function kept_among(keys)
	local rows = {}
	for _, key in ipairs(keys) do
		local kept = sample.kept(key)
		if kept then rows[#rows + 1] = { kept = kept } end
	end
	return sample.groups(rows, function(row) return row.kept end)
end

local function reasons(policy, f)
	local list = {}
	if policy == "noeviction" then
		list[#list + 1] = "maxmemory-policy is noeviction"
	end
	if f.share > NO_TTL_MAX then
		list[#list + 1] = ("%g %% of a sample have no TTL (%g %% of the "
			.. "database, %g %% of the keys to go)"):format(f.share,
			f.all_share, f.hit_share)
	end
	if f.streams > 0 then list[#list + 1] = "there are streams" end
	if #f.kept > 0 then
		list[#list + 1] = "by their names " .. names_of(f.kept)
			.. " are to go"
	end
	return list
end

---@class opsh.redis.judgement
---@field against string[] what speaks against a cache; empty: it is one
---@field share integer percent without TTL: of the database or of the keys to
---  go, whichever is more
---@field exact boolean all keys were looked at, not a sample
---@field text string one line on what was found

-- Judges a database, and the keys that are to go from it ({}: all of them).
--
-- Example:
--   local judge = require "opsh.redis.judge"
--   local j = judge.cache(cache, keys, cache:identity().maxmemory_policy)
--   if #j.against > 0 then print(j.text) end
---@param client opsh.redis.client
---@param keys string[]
---@param policy string maxmemory-policy
---@return opsh.redis.judgement
function M.cache(client, keys, policy)
	local drawn, whole = sample.keys(client, SAMPLE)
	local all = sample.describe(client, drawn)
	local hit = sample.describe(client, sample.spread(keys, SAMPLE))
	local f = {}
	local all_streams, hit_streams
	f.all_share, all_streams = look_at(all)
	f.hit_share, hit_streams = look_at(hit)
	f.share = math.max(f.all_share, f.hit_share)
	f.streams = all_streams + hit_streams
	f.kept = kept_among(#keys > 0 and keys or drawn)
	local beside = #f.kept == 0 and kept_among(drawn) or {}
	return {
		share = math.floor(f.share + 0.5), against = reasons(policy, f),
		exact = whole and #keys <= SAMPLE,
		text = ("%s; of %d sampled keys %g %% have no TTL%s"):format(policy,
			#all + #hit, f.share, #beside > 0 and "; beside them live "
			.. names_of(beside) or ""),
	}
end

return M
