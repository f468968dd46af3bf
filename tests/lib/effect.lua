-- effect: what the specs of the boundary share: a target, and a call on it. Loaded with
-- dofile. Owns nothing. A spec that looks at the place of a call makes the call itself:
-- made here, the place is here.
local effect = require "opsh.c.effect"
local target = require "opsh.c.target"

local M = {}

function M.cache(opts)
	local t = { name = "cache", kind = "redis" }
	for k, v in pairs(opts or {}) do t[k] = v end
	return target.new(t)
end

function M.call(t, class, verb, opts, f, ...)
	return effect.call(t, class, verb or "DEL", (verb or "DEL") .. " key", opts,
		f or function() return "sent" end, ...)
end

return M
