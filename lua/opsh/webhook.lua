-- webhook: tells people and machines of other systems: Slack's incoming webhooks,
-- the events API v2 of PagerDuty, any JSON elsewhere. Works on an http client whose
-- URL is the webhook's own; every call is a write that is recorded, withheld in a
-- plan, and never sent twice unless a key makes it harmless. Sources: "Formatting
-- text" of Slack's documentation, "Send an alert event" of PagerDuty's.
local err = require "opsh.c.err"
local secret = require "opsh.secret"

local M = {}

---@class opsh.webhook
local Webhook = {}
Webhook.__index = Webhook

local TEXT <const> = 40000	-- characters Slack takes; it cuts the rest
local SUMMARY <const> = 1024	-- characters of PagerDuty's summary

local function usage(fmt, ...)
	error(err.new { kind = "usage", message = fmt:format(...) }, 0)
end

---The webhook behind a client.
---
---Example:
---  webhook.of(system.target "slack"):slack "rollback done"
---@param client any an http client
---@param opts? {path?: string} below the target's URL
---@return opsh.webhook
function M.of(client, opts)
	if type(client) ~= "table" and type(client) ~= "userdata" then
		usage("webhook.of: expected an http client, got %s", type(client))
	end
	for key in pairs(opts or {}) do
		if key ~= "path" then
			usage("webhook.of: unknown option '%s'", tostring(key))
		end
	end
	return setmetatable({ client = client, path = opts and opts.path }, Webhook)
end

---Text as Slack shows it, none of it read as markup, a mention or a link.
---@param text string
---@return string
function M.escape(text)
	return (text:gsub("[&<>]", { ["&"] = "&amp;", ["<"] = "&lt;",
		[">"] = "&gt;" }))
end

-- At most so many characters, whole ones.
local function cut(text, limit)
	local length = utf8.len(text)
	if not length then
		if #text <= limit then return text end
		return text:sub(1, limit - 3) .. "..."
	elseif length <= limit then
		return text
	end
	return text:sub(1, utf8.offset(text, limit - 2) - 1) .. "..."
end

local function post(self, path, opts)
	opts.expect_result = { status = opts.expect and opts.expect[1] or 200 }
	return self.client:post(path or self.path or "", opts)
end

---Posts a JSON value. Accepts any status of 200 to 299.
---@param value any
---@param opts? {path?: string, headers?: table, idempotency_key?: string, timeout?: number}
---@return table result
function Webhook:post(value, opts)
	local call = { json = value, expect = { 200, 201, 202, 203, 204, 205, 206 } }
	for key, option in pairs(opts or {}) do
		if key ~= "path" and key ~= "headers" and key ~= "idempotency_key"
			and key ~= "timeout" then
			usage("post: unknown option '%s'", tostring(key))
		end
		if key ~= "path" then call[key] = option end
	end
	return post(self, opts and opts.path, call)
end

---Posts to Slack: a text, of which nothing is read as markup, or Slack's own
---message (text, blocks ...) as it is. Sending it twice says it twice, so it is
---never sent again by itself.
---
---Example:
---  hook:slack { text = "*P1* gateway", blocks = blocks }
---@param message string|table
---@return table result
function Webhook:slack(message)
	if type(message) == "string" then
		message = { text = M.escape(cut(message, TEXT)) }
	elseif type(message) ~= "table" then
		usage("slack: expected a text or a table, got %s", type(message))
	elseif not message.text and not message.blocks and not message.attachments
	then
		usage "slack: the message has neither text nor blocks"
	end
	return post(self, nil, { json = message, expect = { 200 } })
end

local ACTIONS <const> = { trigger = true, acknowledge = true, resolve = true }
local SEVERITIES <const> = { critical = true, error = true, warning = true,
	info = true }
local EVENT <const> = { routing_key = true, action = true, dedup_key = true,
	summary = true, severity = true, source = true, component = true,
	group = true, class = true, details = true, links = true }

---Triggers, acknowledges or resolves an incident of PagerDuty. Events of one
---`dedup_key` are one incident; it is what makes sending again harmless, and
---acknowledge and resolve need it.
---
---Example:
---  hook:pagerduty { routing_key = secret.env "PD_KEY", dedup_key = "gateway-5xx",
---    summary = "gateway: 12 % errors", severity = "critical", source = "gateway" }
---@param event {routing_key: any, summary?: string, severity?: string, dedup_key?: string, action?: string, source?: string, component?: string, group?: string, class?: string, details?: table, links?: table}
---@return table result json.dedup_key is the incident's
function Webhook:pagerduty(event)
	for key in pairs(event) do
		if not EVENT[key] then
			usage("pagerduty: unknown field '%s'", tostring(key))
		end
	end
	local action = event.action or "trigger"
	if not ACTIONS[action] then
		usage("pagerduty: unknown action '%s': trigger, acknowledge, resolve",
			tostring(action))
	elseif not secret.is(event.routing_key) then
		usage "pagerduty: routing_key must be a secret"
	elseif action ~= "trigger" and not event.dedup_key then
		usage("pagerduty: %s needs the dedup_key of its incident", action)
	end
	local body = { routing_key = event.routing_key, event_action = action,
		dedup_key = event.dedup_key }
	if action == "trigger" then
		local severity = event.severity or "error"
		if not SEVERITIES[severity] then
			usage("pagerduty: unknown severity '%s': critical, error, warning, "
				.. "info", tostring(severity))
		elseif type(event.summary) ~= "string" or event.summary == "" then
			usage "pagerduty: trigger needs a summary"
		end
		body.payload = { summary = cut(event.summary, SUMMARY),
			severity = severity, source = event.source or "opsh",
			component = event.component, group = event.group,
			class = event.class, custom_details = event.details }
		body.links = event.links
	end
	return post(self, nil, { json = body, expect = { 202 },
		idempotency_key = event.dedup_key and action .. ":" .. event.dedup_key })
end

return M
