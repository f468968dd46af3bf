---@meta opsh.c.json
-- json: the documentation of the C module opsh.c.json (public: opsh.json).
-- Read by `opsh help`, completion and editors; never executed. Owns the words,
-- not the behaviour: that is src/bind/json*.c.

---@class opsh.json
---@field null lightuserdata stands for JSON null: in arrays, and to write it
local json = {}

---@class opsh.json.decode_options
---@field max_depth? integer levels of nesting, 1 to 1000 (default 128)
---@field null? any what stands for null everywhere; by default a null field of
---an object is absent, and a null element of an array is json.null
---@field unique_keys? boolean refuse an object with equal keys (by default the
---last one counts)
---@field binary? "escape" lone escapes \udc80 to \udcff become the bytes 80 to
---ff: what encode with the same option wrote

---Reads JSON (RFC 8259), strictly. Integers are exact: one beyond int64 is an
---error. `1.0` and `1e3` are floats. Arrays are marked as such (json.array).
---
---Raises kind protocol (not JSON, not UTF-8, equal keys; with line and column),
---limit (depth, range of numbers).
---
---    local t = json.decode '{"state": "open", "codes": [1, null]}'
---    assert(t.state == "open" and t.codes[2] == json.null)
---
---Source: json_loadb of jansson.
---@param text string
---@param opts? opsh.json.decode_options
---@return any value
function json.decode(text, opts) end

---@class opsh.json.encode_options
---@field indent? integer spaces a level, 0 to 16; 0 is one line (default 0)
---@field sort_keys? boolean names of objects in byte order (default true)
---@field max_depth? integer levels of nesting, 1 to 1000 (default 128)
---@field binary? "escape" bytes that are not UTF-8 as \udc80 to \udcff; by
---default they are an error

---Writes a value as JSON. A table with the elements 1 to n is an array, one
---with names an object, an empty one `{}` unless json.array marked it. Floats
---keep their point (`1.0`) and read back exactly. A metamethod `__tojson(value)`
---returns what to write instead.
---
---Raises kind usage, with the path to the value: functions, userdata, NaN and
---infinities, mixed keys, holes, cycles, bytes that are not UTF-8; kind limit:
---too deep. A name of an object that holds a NUL byte is written, but decode
---refuses it (the library can't hold it).
---
---    assert(json.encode { a = 1, b = { 1.0, json.null } }
---      == '{"a":1,"b":[1.0,null]}')
---@param value any
---@param opts? opsh.json.encode_options
---@return string text
function json.encode(value, opts) end

---Marks a table as an array, so that it is written as `[]` even when empty.
---Raises when it has another metatable.
---
---    assert(json.encode { list = json.array() } == '{"list":[]}')
---@param t? table a new one by default
---@return table t
function json.array(t) end

return json
