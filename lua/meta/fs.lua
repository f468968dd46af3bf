---@meta opsh.c.fs
-- fs: the documentation of the C module opsh.c.fs (public: opsh.fs, with lines and
-- tmpdir). Read by `opsh help`, completion and editors; never executed. Owns the
-- words, not the behaviour: that is src/bind/fs*.c.

---Files of this machine, the global `fs`. Reading is free of records. What changes
---something is an effect on the target `local`: recorded, withheld in a plan,
---refused in read mode. What replaces or removes what was there is destructive and
---needs `guard(fs, { verb = "remove", count = n })` or `--approve local`, but not
---in a folder of fs.tmpdir. All that may take long runs beside the loop, ends at
---`timeout` seconds and at Ctrl-C; a file that is written appears whole or not at
---all.
---
---Raises: io (`code` is ENOENT, EACCES, ENOSPC ..; the message names the path and
---why), limit, timeout, cancelled, usage, refused, guard; protocol (gunzip).
---@class opsh.fs
local fs = {}

---@class opsh.fs.result what a write returns
---@field ok boolean
---@field path string the file written
---@field bytes integer
---@field count integer
---@field replaced boolean a file was there

---@class opsh.fs.write_options
---@field mode? string octal: "0600". By default that of the file replaced, else by
---the umask; a secret: "0600"
---@field sync? boolean on disk before it counts (default true)
---@field timeout? number seconds (default 60; copy, gzip, gunzip: 600)
---@field expect? any the result that a plan goes on with

---The contents of a file. Raises limit when it holds more than `max` bytes (default
---64 MiB); fs.lines goes through a file of any size.
---
---    local text = fs.read "/etc/hostname"
---
---Source: open, fstat, read. Only regular files are read.
---@param path string
---@param opts? {max?: integer, timeout?: number}
---@return string
function fs.read(path, opts) end

---Writes a whole file: it has no name (O_TMPFILE) until it is complete and on disk;
---then it takes the place of the old one at once. When the disk is full the old one
---is as it was. Mode and owner of the replaced file are kept (not its extended
---attributes, nor other hard links to it). A symbolic link is followed: its file is
---replaced. Destructive when a file is replaced, else a write. The record has path,
---size and, of up to 1 MiB without a secret in it, the SHA-256; never the data.
---
---    fs.write("/tmp/opsh-help.txt", "all is well\n", { mode = "0600" })
---
---Source: open(O_TMPFILE), fsync, linkat, renameat2.
---@param path string
---@param data string|userdata text, or a secret
---@param opts? opsh.fs.write_options
---@return opsh.fs.result
function fs.write(path, data, opts) end

---Adds to the end of a file; makes it when it is not there. A write. When the disk
---gets full, what was added is taken back.
---
---    fs.append("/tmp/opsh-help.log", os.date() .. " started\n")
---
---Source: open(O_APPEND), write, fsync.
---@param path string
---@param data string|userdata
---@param opts? opsh.fs.write_options
---@return opsh.fs.result
function fs.append(path, data, opts) end

---Copies a file of any size; as atomic as fs.write. A new file gets the mode of
---`from`. Destructive when `to` is there.
---
---Source: read and fs.write's calls.
---@param from string
---@param to string
---@param opts? opsh.fs.write_options
---@return opsh.fs.result
function fs.copy(from, to, opts) end

---Renames a file or folder, within a file system. A symbolic link is renamed
---itself. Destructive when `to` is there; what appears meanwhile is not replaced.
---
---Source: renameat2(RENAME_NOREPLACE).
---@param from string
---@param to string
---@param opts? {timeout?: number, expect?: any}
---@return opsh.fs.result
function fs.rename(from, to, opts) end

---Removes a file, an empty folder, or with `recursive` a folder with all in it: the
---result's `count` of entries. Links are removed, never followed; a mounted file
---system within is not entered. Destructive, but in a folder of fs.tmpdir.
---
---Source: unlinkat, openat(O_NOFOLLOW).
---@param path string
---@param opts? {recursive?: boolean, timeout?: number, expect?: any}
---@return opsh.fs.result
function fs.remove(path, opts) end

---Makes a folder; with `parents` those above it too, and one that is there is no
---error. The result's `count` says how many were made.
---
---Source: mkdir.
---@param path string
---@param opts? {parents?: boolean, mode?: string, timeout?: number, expect?: any}
---@return opsh.fs.result
function fs.mkdir(path, opts) end

---@class opsh.fs.stat
---@field type "file"|"directory"|"symlink"|"fifo"|"socket"|"char"|"block"
---@field mode string octal, as fs.write takes it: "0644"
---@field size integer bytes
---@field blocks integer of 512 bytes, on disk
---@field mtime number seconds since 1970; also ctime, atime
---@field uid integer
---@field gid integer
---@field links integer
---@field inode integer
---@field device integer

---What the path names. Raises io (ENOENT) when nothing is there.
---
---    assert(fs.stat("/etc/hostname").type == "file")
---
---Source: stat, lstat.
---@param path string
---@param opts? {follow?: boolean} false: a symbolic link itself
---@return opsh.fs.stat
function fs.stat(path, opts) end

---Is there something? Raises io when that can't be known (EACCES).
---
---Source: stat.
---@param path string
---@return boolean
function fs.exists(path) end

---The names in a folder, sorted by bytes, without `.` and `..`; hidden ones too.
---
---Source: readdir.
---@param path string
---@param opts? {timeout?: number}
---@return string[]
function fs.list(path, opts) end

---The paths that match a pattern, sorted: `*`, `?`, `[a-z]`, `[!x]` within a part of
---the path, `**` for any number of folders, `\` before what is meant as it stands.
---Hidden names need a dot in the pattern. No match is an empty list; a folder that
---can't be read is an error.
---
---    for _, path in ipairs(fs.glob "/var/log/**/*.log") do print(path) end
---
---Source: readdir, fnmatch.
---@param pattern string
---@param opts? {timeout?: number}
---@return string[]
function fs.glob(pattern, opts) end

---The checksum of a file, in hex.
---
---    print(fs.hash("/etc/hostname", "sha256"))
---
---Source: libcrypto.
---@param path string
---@param algorithm? "sha256"|"sha512"|"sha1"|"md5" (default sha256)
---@param opts? {timeout?: number}
---@return string hex
function fs.hash(path, algorithm, opts) end

---Packs a file: no name, no time in it, so that the same contents give the same
---bytes. The result's `count` is the size of `from`, `bytes` that of `to`. `from`
---stays.
---
---Source: zlib, RFC 1952.
---@param from string
---@param to string
---@param opts? {level?: integer, mode?: string, sync?: boolean, timeout?: number, expect?: any} level 1 to 9 (6)
---@return opsh.fs.result
function fs.gzip(from, to, opts) end

---Unpacks a file, of several members too. Raises limit when it would be more than
---`max` bytes (default 1 GiB), protocol when it is damaged or cut off, with the
---place; then `to` is as it was.
---
---Source: zlib, RFC 1952.
---@param from string
---@param to string
---@param opts? {max?: integer, mode?: string, sync?: boolean, timeout?: number, expect?: any}
---@return opsh.fs.result
function fs.gunzip(from, to, opts) end

---@class opsh.fs.df
---@field size integer bytes
---@field used integer
---@field free integer what a user who is not root may still write
---@field percent number used of what may be used, as df shows it
---@field inodes integer
---@field inodes_percent number
---@field readonly boolean

---How full the file system of a path is.
---
---    if fs.df("/").percent > 90 then log.warn "the disk is nearly full" end
---
---Source: statvfs.
---@param path string
---@param opts? {timeout?: number}
---@return opsh.fs.df
function fs.df(path, opts) end

---Opens a file for fs.lines.
---@param path string
---@return opsh.fs.reader
function fs.open(path) end

---@class opsh.fs.reader
local reader = {}

---The next piece, nil at the end.
---@param bytes? integer (256 KiB)
---@return string?
function reader:chunk(bytes) end

---Closes it; may be called twice.
function reader:close() end

---Makes a folder for fs.tmpdir.
---@param parent? string
---@return string path
---@return boolean? withheld in a plan: it was not made
function fs.tmpdir(parent) end

---Removes a folder of fs.tmpdir with its contents, at once.
---@param path string
---@return integer entries removed
function fs.rmtmp(path) end

return fs
