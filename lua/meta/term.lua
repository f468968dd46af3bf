---@meta opsh.c.term

-- The terminal. Everything that is written passes the redactor; what is not
-- ours is escaped when it goes to a terminal. `fd` is 1 (stdout: results) or 2
-- (stderr: talk). Misuse raises an argument error.

---@class opsh.c.term
---@field null lightuserdata opsh.null: SQL NULL, a Redis nil in a list
local term = {}

---Writes foreign text. On a terminal control characters, invalid UTF-8 and
---what hides text (bidirectional, zero width) come out as `\x1b`, `\u{202e}`;
---newline and tab pass. Elsewhere the bytes are written as they are.
---Waits while more than 1 MiB is queued for that descriptor, so other tasks
---go on when nobody reads. Raises `cancelled` while it waits.
---
---Example: `term.write(1, "3 keys\n")`
---@param fd 1|2
---@param text string
function term.write(fd, text) end

---As `write`, for text of our own that may hold styles; never foreign bytes.
---
---Example: `term.ours(1, term.style("ok", "done") .. "\n")`
---@param fd 1|2
---@param text string
function term.ours(fd, text) end

---Text in a style, masked and escaped; unstyled where `colour(fd)` is false.
---For `ours`. Styles don't nest.
---
---Example: `term.style("warn", "lagging", 2)`
---@param name "black"|"blue"|"bold"|"cyan"|"dim"|"error"|"green"|"key"|"magenta"|"muted"|"ok"|"red"|"reverse"|"title"|"underline"|"warn"|"yellow"
---@param text string
---@param fd? 1|2 where it will be written (default: 1)
---@return string text
function term.style(name, text, fd) end

---Is it a terminal? 0 may be asked too.
---
---Example: `if term.is_tty(0) then ... end`
---@param fd 0|1|2
---@return boolean
function term.is_tty(fd) end

---May styles be written there? Not with `NO_COLOR`, else with
---`CLICOLOR_FORCE`, else on a terminal that is not `dumb`.
---Source: no-color.org, bixense.com/clicolors
---
---Example: `term.colour(1)`
---@param fd 1|2
---@return boolean
function term.colour(fd) end

---Width of the terminal; `$COLUMNS`, or 80, where there is none.
---
---Example: `local width = term.columns()`
---@return integer columns
function term.columns() end

---Height of the terminal; `$LINES`, or 24, where there is none.
---
---Example: `local height = term.lines()`
---@return integer lines
function term.lines() end

---A program that was given the terminal.
---@class opsh.term.lent
local Lent = {}

---Text for its stdin; waits until it was taken.
---@param text string
---@return boolean taken false: it reads no more
function Lent:write(text) end

---Closes its stdin and waits for its end.
---@return {status?: integer, signal?: integer, pid: integer}
function Lent:wait() end

---Starts a program that has the terminal to itself until it ends: Ctrl-C goes to
---it, what is written here meanwhile waits (as do questions), and afterwards the
---terminal is as it was. Other tasks go on. `<close>` ends it. Without `stdin` it
---reads the terminal. It passes no boundary: for programs that the runner itself
---needs (a pager, an editor).
---
---Raises io: there is no such program, or no terminal; usage: it is lent already.
---
---Example: `local less <close> = term.lend({ "less" }, { stdin = true })`
---@param argv string[] program and arguments
---@param opts? {stdin?: boolean, env?: table<string, string>, grace?: number}
---  stdin: a pipe to its stdin, for write; env: variables besides ours; grace:
---  seconds that it gets to end by itself when who waits for it is cancelled
---@return opsh.term.lent program
function term.lend(argv, opts) end

---Columns that the escaped form of a text takes.
---
---Example: `term.width("日本") --> 4`
---@param text string
---@return integer columns
function term.width(text) end

---Writes what is queued, as far as the reader takes it; needed by nobody who
---lets the loop turn. With seconds it waits so long for a slow reader, and takes
---the status line away: for a child that is to write to the same place.
---
---Example: `term.flush(1)`
---@param seconds? number
function term.flush(seconds) end

---The escaped form of a text.
---
---Example: `term.escape("a\27b") --> "a\\x1bb"`
---@param text string
---@param lines? boolean keep newline and tab (default: false)
---@return string text printable UTF-8
function term.escape(text, lines) end

---The text with every secret, in every encoding known, replaced by `[secret]`.
---Needed before text is cut, padded or quoted: `write` masks too, but can't
---find a secret that was taken apart.
---
---Example: `local shown = term.mask(value)`
---@param text string
---@return string text
function term.mask(text) end

---Masks, escapes, and cuts to `max` columns with an ellipsis.
---
---Example: `term.cell("flights::UAL123", 8) --> "flights…", 8`
---@param text string
---@param max? integer columns (default: no limit)
---@return string text
---@return integer width its columns
function term.cell(text, max) end

---Two clocks.
---
---Example: `local mono, wall = term.clock()`
---@return number monotonic seconds; goes on during suspend
---@return number wall seconds since 1970, UTC
function term.clock() end

---The status line of progress: on stderr, only on a terminal, cut to its width,
---out of the way of other text. nil takes it away.
---
---Example: `term.status("unlink: 200/1,000")`
---@param line? string
function term.status(line) end

---Asks the person at the terminal; other tasks go on meanwhile. nil when there
---is no answer: end of input, Ctrl-C, or nobody to ask (stdin or stderr is no
---terminal, or `CI` is set). What was typed ahead is thrown away. Several
---questions queue up.
---Raises `timeout` when the time is over, `cancelled`.
---
---Example: `local name = term.prompt("primary to stop: ")`
---@param text string foreign text is escaped
---@param opts? {secret?: boolean, timeout?: number}
---  secret: don't show what is typed (default: false);
---  timeout: seconds (default: 3600)
---@return string? answer without its newline
function term.prompt(text, opts) end

return term
