-- kubernetes.write: one call of kubectl that changes something, as drive and objects
-- make it: the caller's options over the verb's own, and what is recorded of it where
-- its words would say less, or too much. Knows no verb; must not retry.
local M = {}

---@param self opsh.kubernetes.client
---@param words string[] verb and arguments
---@param opts {timeout?: number, expect?: any} the caller's
---@param more? {class?: string, verb?: string, stdin?: string, request?: string, timeout?: number}
---@return table result of exec.run
function M.run(self, words, opts, more)
	more = more or {}
	return self.call:run(words, { class = more.class or "write",
		verb = more.verb, stdin = more.stdin, request = more.request,
		timeout = opts.timeout or more.timeout, expect = opts.expect })
end

---@param self opsh.kubernetes.client
---@param text string a format: what follows "kubectl -n NAMESPACE"
---@param ... any
---@return string
function M.request(self, text, ...)
	return ("kubectl -n %s "):format(self.call.namespace) .. text:format(...)
end

return M
