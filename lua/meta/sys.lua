---@meta opsh.c.sys
-- sys: the documentation of the C module opsh.c.sys: files, the user, the tables
-- of the build, for the runner. Private; playbooks have os and io behind the
-- boundary instead. Never executed. Owns the words: the code is src/run/sys.c.

---@class opsh.c.sys
---@field version string
local sys = {}

---@class opsh.sys.stat
---@field type "file"|"directory"|"other"
---@field mode integer permission bits, as chmod takes them
---@field uid integer
---@field size integer bytes
---@field mtime integer seconds since 1970, UTC
---@field dev integer
---@field ino integer

---@param path string links are followed
---@return opsh.sys.stat? st
---@return string? message "PATH: why"
function sys.stat(path) end

---@param path string
---@param max integer bytes; a file that is larger is refused
---@return string? bytes
---@return string? message
function sys.read(path, max) end

---@param path string
---@return string[]? names sorted, without . and ..
---@return string? message
function sys.readdir(path) end

---Writes a new file and syncs it; one that is there is refused.
---@param path string
---@param text string
---@param mode? integer 0600 by default
---@return boolean? done
---@return string? message
function sys.save(path, text, mode) end

---Makes a folder and those above it; one that is there is fine.
---@param path string
---@return boolean? done
---@return string? message
function sys.mkdir(path) end

---@param path string
---@return string? path absolute, without links
---@return string? message
function sys.realpath(path) end

---@return integer uid the effective one
function sys.euid() end

---@return integer
function sys.pid() end

---@return string
function sys.hostname() end

---@param name string
---@return string?
function sys.getenv(name) end

---@param text string
---@return string hex
function sys.sha256(text) end

---The table of exit codes (src/core/exit.h).
---@return {code: integer, name: string, text: string}[]
function sys.exits() end

---The exit code that an error value stands for: its own, or its kind's.
---@param e any
---@return integer
function sys.exit_code(e) end

---The first signal that was caught.
---@return integer number 0 for none
function sys.signal() end

---Cancels the run; raises that here and now.
function sys.leave() end

---As if Ctrl-C had been typed.
function sys.interrupt() end

---The bindings of src/bind/bindings.def.
---@return table<string, string> name -> its URL schemes, separated by spaces
function sys.kinds() end

---@param path string of an embedded file, such as "lua/help/errors.md"
---@return string? text
function sys.file(path) end

---@param prefix string
---@return string[] paths of the embedded files that begin so
function sys.files(prefix) end

---@return string? folder of the shipped playbooks; nil when there is none
function sys.playbook_dir() end

return sys
