---@meta lua
-- lua: what user code has of Lua 5.4 itself, in one line each: for `help`,
-- completion and hints. Never executed. The reference is Lua's manual,
-- section 6; os and io pass the boundary, what is not here is not offered.

---@class lua.string
local string = {}
---The codes of the bytes from i to j.
---@param s string
---@param i? integer 1
---@param j? integer i
---@return integer ...
function string.byte(s, i, j) end
---The string of these byte codes.
---@param ... integer
---@return string
function string.char(...) end
---Looks for a pattern, or with `plain` for the text itself.
---@param s string
---@param pattern string
---@param init? integer where to begin, 1
---@param plain? boolean no pattern
---@return integer? from, integer to, string ... captures
function string.find(s, pattern, init, plain) end
---Text by a format as of printf: %d %s %q %g %x %5.2f.
---@param fmt string
---@param ... any
---@return string
function string.format(fmt, ...) end
---Iterates over the matches of a pattern.
---@param s string
---@param pattern string
---@param init? integer
---@return fun(): string?
function string.gmatch(s, pattern, init) end
---Replaces what matches; by text with %1, by a table's values, or a function's results.
---@param s string
---@param pattern string
---@param repl string|table|function
---@param n? integer so many at most
---@return string, integer count
function string.gsub(s, pattern, repl, n) end
---Its length in bytes.
---@param s string
---@return integer
function string.len(s) end
---@param s string
---@return string in small letters
function string.lower(s) end
---The captures of the first match, or the match; nil when there is none.
---@param s string
---@param pattern string
---@param init? integer
---@return string? ...
function string.match(s, pattern, init) end
---Packs values into bytes by a format, such as "<I4s2".
---@param fmt string
---@param ... any
---@return string
function string.pack(fmt, ...) end
---@param fmt string
---@return integer bytes that pack gives
function string.packsize(fmt) end
---n copies, with `sep` between them.
---@param s string
---@param n integer
---@param sep? string
---@return string
function string.rep(s, n, sep) end
---@param s string
---@return string backwards
function string.reverse(s) end
---The bytes from i to j; negative ones count from the end.
---@param s string
---@param i integer
---@param j? integer -1
---@return string
function string.sub(s, i, j) end
---What pack has packed.
---@param fmt string
---@param s string
---@param pos? integer
---@return any ... values, integer next
function string.unpack(fmt, s, pos) end
---@param s string
---@return string in capitals
function string.upper(s) end

---@class lua.table
local table = {}
---The elements joined to one string.
---@param list (string|number)[]
---@param sep? string
---@param i? integer
---@param j? integer
---@return string
function table.concat(list, sep, i, j) end
---Adds a value at the end, or at a place: insert(list, value), insert(list, pos, value).
---@param list table
---@param pos any the place, or the value
---@param value? any
function table.insert(list, pos, value) end
---Copies elements f to e to the place t, of a2 where it is given.
---@param a1 table
---@param f integer
---@param e integer
---@param t integer
---@param a2? table
---@return table
function table.move(a1, f, e, t, a2) end
---A table of the arguments, with their number in `n`.
---@param ... any
---@return table
function table.pack(...) end
---Takes the last element, or the one at pos, away.
---@param list table
---@param pos? integer
---@return any
function table.remove(list, pos) end
---Sorts in place; less(a, b) says whether a comes first.
---@param list table
---@param less? fun(a: any, b: any): boolean
function table.sort(list, less) end
---The elements i to j as values.
---@param list table
---@param i? integer
---@param j? integer
---@return any ...
function table.unpack(list, i, j) end

---@class lua.math
---@field pi number
---@field huge number infinity
---@field maxinteger integer
---@field mininteger integer
local math = {}
---@param x number
---@return number without its sign
function math.abs(x) end
---@param x number
---@return number
function math.acos(x) end
---@param x number
---@return number
function math.asin(x) end
---@param y number
---@param x? number
---@return number
function math.atan(y, x) end
---@param x number
---@return integer the least that is not below x
function math.ceil(x) end
---@param x number radians
---@return number
function math.cos(x) end
---@param x number
---@return number
function math.deg(x) end
---@param x number
---@return number
function math.exp(x) end
---@param x number
---@return integer the greatest that is not above x
function math.floor(x) end
---@param x number
---@param y number
---@return number the rest of x / y, toward zero
function math.fmod(x, y) end
---@param x number
---@param base? number e
---@return number
function math.log(x, base) end
---@param x number
---@param ... number
---@return number
function math.max(x, ...) end
---@param x number
---@param ... number
---@return number
function math.min(x, ...) end
---@param x number
---@return number whole, number rest
function math.modf(x) end
---@param x number
---@return number
function math.rad(x) end
---A number from 0 to 1, an integer from 1 to m, or from m to n.
---@param m? integer
---@param n? integer
---@return number
function math.random(m, n) end
---@param x? integer
---@param y? integer
function math.randomseed(x, y) end
---@param x number radians
---@return number
function math.sin(x) end
---@param x number
---@return number
function math.sqrt(x) end
---@param x number radians
---@return number
function math.tan(x) end
---@param x any
---@return integer? nil when it is no whole number
function math.tointeger(x) end
---@param x any
---@return "integer"|"float"|nil
function math.type(x) end
---Compares as numbers without a sign.
---@param m integer
---@param n integer
---@return boolean
function math.ult(m, n) end

---@class lua.utf8
---@field charpattern string
local utf8 = {}
---@param ... integer
---@return string
function utf8.char(...) end
---Iterates over the positions and code points.
---@param s string
---@param lax? boolean
---@return fun(): integer?, integer
function utf8.codes(s, lax) end
---@param s string
---@param i? integer
---@param j? integer
---@param lax? boolean
---@return integer ... code points
function utf8.codepoint(s, i, j, lax) end
---How many characters; nil and the place where it is no UTF-8.
---@param s string
---@param i? integer
---@param j? integer
---@param lax? boolean
---@return integer?
function utf8.len(s, i, j, lax) end
---@param s string
---@param n integer
---@param i? integer
---@return integer? byte where the n-th character begins
function utf8.offset(s, n, i) end

---@class lua.coroutine
local coroutine = {}
---@param co thread
---@return boolean, any
function coroutine.close(co) end
---@param f function
---@return thread
function coroutine.create(f) end
---@param co? thread
---@return boolean
function coroutine.isyieldable(co) end
---@param co thread
---@param ... any
---@return boolean ok, any ...
function coroutine.resume(co, ...) end
---@return thread, boolean main
function coroutine.running() end
---@param co thread
---@return "running"|"suspended"|"normal"|"dead"
function coroutine.status(co) end
---A function that resumes it: a generator.
---@param f function
---@return function
function coroutine.wrap(f) end
---@param ... any
---@return any ...
function coroutine.yield(...) end

---@class lua.os
local os = {}
---@return number seconds of processor time
function os.clock() end
---@param format? string "%Y-%m-%d %H:%M:%S", "!..." for UTC, "*t" for a table
---@param time? integer
---@return string|table
function os.date(format, time) end
---@param t2 integer
---@param t1 integer
---@return number seconds
function os.difftime(t2, t1) end
---A shell's command line: destructive; sh.run is better.
---@param command? string
---@return boolean? ok, string how, integer code
function os.execute(command) end
---Ends the run with this exit code; `<close>` variables run.
---@param code? integer|boolean
function os.exit(code) end
---@param name string
---@return string?
function os.getenv(name) end
---Destructive.
---@param path string
---@return boolean? done, string? why
function os.remove(path) end
---@param from string
---@param to string
---@return boolean? done, string? why
function os.rename(from, to) end
---@param locale? string
---@return string
function os.setlocale(locale) end
---@param t? table year, month, day, hour, min, sec
---@return integer seconds since 1970
function os.time(t) end
---@return string path
function os.tmpname() end

---@class lua.io
---@field stdin userdata
---@field stdout userdata
---@field stderr userdata
local io = {}
---@param file? userdata
function io.close(file) end
function io.flush() end
---@param file? userdata|string
---@return userdata
function io.input(file) end
---Iterates over the lines of a file.
---@param path? string
---@param ... string|integer formats
---@return fun(): string?
function io.lines(path, ...) end
---@param path string
---@param mode? "r"|"w"|"a"|"r+"|"w+"|"a+"
---@return userdata? file, string? why
function io.open(path, mode) end
---@param file? userdata|string
---@return userdata
function io.output(file) end
---@param command string of a shell
---@param mode? "r"|"w"
---@return userdata? file, string? why
function io.popen(command, mode) end
---@param ... string|integer formats: "l", "n", "a"
---@return any ...
function io.read(...) end
---@return userdata file
function io.tmpfile() end
---@param value any
---@return "file"|"closed file"|nil
function io.type(value) end
---@param ... string|number
---@return userdata
function io.write(...) end

---@class lua.debug
local debug = {}
---@param message? any
---@param level? integer
---@return string
function debug.traceback(message, level) end
---@param f any
---@param what? string
---@return table?
function debug.getinfo(f, what) end

---@class lua.package
---@field config string
local package = {}

-- --- functions -----------------------------------------------------------------

---@global assert
---Raises `message` when the value is false or nil; else gives all of its arguments.
---@param value any
---@param message? any
---@param ... any
---@return any ...
function assert(value, message, ...) end
---@global collectgarbage
---@param what? "collect"|"count"|"step"|"stop"|"restart"|"incremental"|"generational"|"isrunning"
---@param arg? integer
---@return any
function collectgarbage(what, arg) end
---@global dofile
---Runs a Lua file.
---@param path string
---@return any ...
function dofile(path) end
---@global error
---Raises a value; a message gets the place of the call (level 1), of its caller (2), or none (0).
---@param message any
---@param level? integer
function error(message, level) end
---@global getmetatable
---@param value any
---@return any
function getmetatable(value) end
---@global ipairs
---Iterates over the elements 1, 2, 3, ... of a list.
---@param list table
---@return function, table, integer
function ipairs(list) end
---@global load
---A function of Lua text; nil and why where it is none.
---@param chunk string|function
---@param name? string
---@param mode? "t"
---@param env? table
---@return function?, string? why
function load(chunk, name, mode, env) end
---@global loadfile
---@param path string
---@param mode? "t"
---@param env? table
---@return function?, string? why
function loadfile(path, mode, env) end
---@global next
---The key after this one, and its value; nil at the end.
---@param t table
---@param key? any
---@return any key, any value
function next(t, key) end
---@global pairs
---Iterates over the keys and values of a table.
---@param t table
---@return function, table, nil
function pairs(t) end
---@global pcall
---Calls f and catches what it raises.
---@param f function
---@param ... any
---@return boolean ok, any ...
function pcall(f, ...) end
---@global print
---@param ... any
function print(...) end
---@global rawequal
---@param a any
---@param b any
---@return boolean
function rawequal(a, b) end
---@global rawget
---@param t table
---@param key any
---@return any
function rawget(t, key) end
---@global rawlen
---@param v table|string
---@return integer
function rawlen(v) end
---@global rawset
---@param t table
---@param key any
---@param value any
---@return table
function rawset(t, key, value) end
---@global require
---A public module, such as require "opsh.prometheus".
---@param name string
---@return table
function require(name) end
---@global select
---The arguments from n on, or with "#" their number.
---@param n integer|"#"
---@param ... any
---@return any ...
function select(n, ...) end
---@global setmetatable
---@param t table
---@param mt? table
---@return table
function setmetatable(t, mt) end
---@global tonumber
---@param v any
---@param base? integer
---@return number? nil when it is none
function tonumber(v, base) end
---@global tostring
---@param v any
---@return string
function tostring(v) end
---@global try
---Calls f; gives its results, or nil and the error object.
---@param f function
---@param ... any
---@return any ...
function try(f, ...) end
---@global type
---@param v any
---@return "nil"|"boolean"|"number"|"string"|"table"|"function"|"userdata"|"thread"
function type(v) end
---@global warn
---A line of the log, at the level of a warning.
---@param message string
---@param fields? table
function warn(message, fields) end
---@global xpcall
---As pcall; `handler` gets the error where it is raised.
---@param f function
---@param handler fun(e: any): any
---@param ... any
---@return boolean ok, any ...
function xpcall(f, handler, ...) end
