-- chunk: what an entry is: an expression or statements, whole or still to be
-- gone on with. Top-level locals of an entry are variables of the session, as the
-- next entry would not see them. Pure: compiles, runs nothing, keeps nothing.
local lex = require "repl.lex"

local chunk = {}

-- The parser has come to the end of the text and wanted more.
local function wants_more(message)
	return message:find "near <eof>$" or message:find "near '<eof>'$"
end

-- local NAME <const>, NAME ... from token n on: the last token of the list, and
-- whether something has to be closed.
local function names_of(tokens, n)
	local closes, consts = false, {}
	while tokens[n] and tokens[n].kind == "name" do
		local open, attribute, close = tokens[n + 1], tokens[n + 2], tokens[n + 3]
		if open and open.text == "<" and close and close.text == ">" then
			closes = closes or attribute.text == "close"
			consts[#consts + 1] = { open.from, close.to }
			n = n + 3
		end
		if not (tokens[n + 1] and tokens[n + 1].text == ",") then break end
		n = n + 2
	end
	return tokens[n], closes, consts, tokens[n + 1]
end

local OPENS = { ["do"] = 1, ["repeat"] = 1, ["if"] = 1, ["function"] = 1,
	["end"] = -1, ["until"] = -1 }

---The text with `local` taken from the declarations at its top level, so that
---they assign to the environment. Lines stay where they are. What is declared
---<close> stays local.
---@param text string
---@return string
function chunk.lift(text)
	if not text:find("local", 1, true) then return text end
	local tokens = lex.tokens(text)
	local depth, edits = 0, {}
	local function edit(from, to, new)
		edits[#edits + 1] = { from, to, new or (" "):rep(to - from + 1) }
	end
	for n, token in ipairs(tokens) do
		depth = depth + (token.kind == "keyword" and OPENS[token.text] or 0)
		local following = tokens[n + 1]
		if token.text == "local" and token.kind == "keyword" and depth == 0
			and following then
			if following.text == "function" then
				edit(token.from, token.to)
			elseif following.kind == "name" then
				local last, closes, consts, after = names_of(tokens, n + 1)
				if not closes and last then
					edit(token.from, token.to)
					for _, c in ipairs(consts) do edit(c[1], c[2]) end
					if not (after and after.text == "=") then
						edit(last.to + 1, last.to, " = nil")
					end
				end
			end
		end
	end
	local out, at = {}, 1
	for _, e in ipairs(edits) do
		out[#out + 1] = text:sub(at, e[1] - 1)
		out[#out + 1] = e[3]
		at = e[2] + 1
	end
	out[#out + 1] = text:sub(at)
	return table.concat(out)
end

-- As an expression it is the argument of a call, so that it is no tail call: the
-- place of an error would be lost.
local function expression(text, name, env)
	local plain, why = load("return " .. text .. "\n", name, "t", env)
	if not plain then return nil, why end
	return load("return (function(...) return ... end)(" .. text .. "\n)", name,
		"t", env) or plain
end

-- The message that fits: where not even the first word begins a statement, what
-- was meant is an expression.
local function message(text, statement, first)
	local at = statement:match "unexpected symbol near '(.-)'$"
	local token = at and lex.tokens(text)[1]
	return token and token.text == at and first or statement
end

---Compiles an entry.
---@param text string
---@param name string of the chunk: "=entry 3"
---@param env table
---@return function? run
---@return string? why "more": it is not whole yet; else the parser's message
function chunk.compile(text, name, env)
	local after = text:match "^%s*=(.*)$"
	if after then
		local run, why = expression(after, name, env)
		if run then return run end
		return nil, wants_more(why) and "more" or why
	end
	local run, first = expression(text, name, env)
	if run then return run end
	local why
	-- with its end of line: a string that is not closed on it is an error
	run, why = load(chunk.lift(text) .. "\n", name, "t", env)
	if run then return run end
	if wants_more(why) or wants_more(first) then return nil, "more" end
	return nil, message(text, why, first)
end

---Is there nothing in it to run: blanks and comments only?
---@param text string
---@return boolean
function chunk.empty(text)
	return #lex.tokens(text) == 0
end

return chunk
