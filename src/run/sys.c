/*
 * sys: what the runner's Lua needs of the system: files as they are, the
 * user, the build's tables. Reads only, but for the run's own directory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/embed.h"
#include "core/exit.h"
#include "core/lx.h"
#include "core/sig.h"
#include "core/task.h"
#include "effect/digest.h"
#include "run/host.h"

static int push_errno(lua_State *L, const char *path)
{
	int saved = errno;

	lua_pushnil(L);
	lua_pushfstring(L, "%s: %s", path, strerror(saved));
	return 2;
}

static void set_int(lua_State *L, const char *name, lua_Integer v)
{
	lua_pushinteger(L, v);
	lua_setfield(L, -2, name);
}

/* stat(path) -> {type, mode, uid, size, mtime, dev, ino} | nil, message */
static int l_sys_stat(lua_State *L)
{
	const char *path = lx_checkcstr(L, 1);
	struct stat st;

	if (stat(path, &st))
		return push_errno(L, path);
	lua_createtable(L, 0, 7);
	lua_pushstring(L, S_ISDIR(st.st_mode) ? "directory"
		       : S_ISREG(st.st_mode) ? "file" : "other");
	lua_setfield(L, -2, "type");
	set_int(L, "mode", st.st_mode & 07777);
	set_int(L, "uid", st.st_uid);
	set_int(L, "size", (lua_Integer)st.st_size);
	set_int(L, "mtime", (lua_Integer)st.st_mtime);
	set_int(L, "dev", (lua_Integer)st.st_dev);
	set_int(L, "ino", (lua_Integer)st.st_ino);
	return 1;
}

/* Fills buf from fd; bytes read, -1 on an error. */
static ssize_t read_up_to(int fd, char *buf, size_t max)
{
	size_t total = 0;
	ssize_t n;

	while (total < max) {
		n = read(fd, buf + total, max - total);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n)
			break;
		total += (size_t)n;
	}
	return (ssize_t)total;
}

/* read(path, max) -> bytes | nil, message. A file is refused above max. */
static int l_sys_read(lua_State *L)
{
	const char *path = lx_checkcstr(L, 1);
	size_t max = (size_t)luaL_checkinteger(L, 2), cap;
	struct stat st;
	char *buf;
	ssize_t n;
	int fd, saved;

	if (stat(path, &st))
		return push_errno(L, path);
	/* no regular file, or one of /proc: no size, room for all we take */
	cap = S_ISREG(st.st_mode) && st.st_size > 0 &&
	      (size_t)st.st_size < max ? (size_t)st.st_size + 1 : max + 1;
	buf = lua_newuserdatauv(L, cap, 0);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return push_errno(L, path);
	n = read_up_to(fd, buf, cap);
	saved = errno;
	close(fd);
	errno = saved;
	if (n < 0)
		return push_errno(L, path);
	if ((size_t)n > max) {
		lua_pushnil(L);
		lua_pushfstring(L, "%s: larger than %I bytes", path,
				(LUAI_UACINT)max);
		return 2;
	}
	lua_pushlstring(L, buf, (size_t)n);
	return 1;
}

#define DIR_META "opsh.dir"

static int l_dir_gc(lua_State *L)
{
	DIR **dir = lua_touserdata(L, 1);

	if (*dir)
		closedir(*dir);
	*dir = NULL;
	return 0;
}

/* readdir(path) -> names without . and .., in no order | nil, message */
static int l_sys_readdir(lua_State *L)
{
	static const luaL_Reg meta[] = { { "__gc", l_dir_gc }, { NULL, NULL } };
	const char *path = lx_checkcstr(L, 1);
	struct dirent *entry;
	DIR **dir;
	int n = 0;

	lx_metatable(L, DIR_META, NULL, meta);
	lua_newtable(L);
	dir = lua_newuserdatauv(L, sizeof(DIR *), 0);
	*dir = NULL;
	luaL_setmetatable(L, DIR_META);
	*dir = opendir(path);
	if (!*dir)
		return push_errno(L, path);
	while ((entry = readdir(*dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		lua_pushstring(L, entry->d_name);
		lua_rawseti(L, -3, ++n);
	}
	closedir(*dir);
	*dir = NULL;
	lua_pop(L, 1);
	return 1;
}

/* save(path, text [, mode]) -> true | nil, message: a new file, synced, 0600
 * unless mode says otherwise; an existing one is refused. */
static int l_sys_save(lua_State *L)
{
	const char *path = lx_checkcstr(L, 1);
	size_t len, done = 0;
	const char *text = lx_checkstr(L, 2, &len);
	mode_t mode = (mode_t)luaL_optinteger(L, 3, 0600);
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);
	ssize_t n;

	if (fd < 0)
		return push_errno(L, path);
	while (done < len) {
		n = write(fd, text + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		done += (size_t)n;
	}
	if (done < len || fsync(fd)) {
		int nret = push_errno(L, path);

		close(fd);
		return nret;
	}
	close(fd);
	lua_pushboolean(L, 1);
	return 1;
}

/* mkdir(path) -> true | nil, message: with its parents, 0777 less the umask */
static int l_sys_mkdir(lua_State *L)
{
	char part[4096];
	const char *path = lx_checkcstr(L, 1);
	size_t i;

	luaL_argcheck(L, strlen(path) < sizeof part, 1, "path is too long");
	memcpy(part, path, strlen(path) + 1);
	for (i = 1; part[0] && part[i]; i++) {
		if (part[i] != '/')
			continue;
		part[i] = '\0';
		if (mkdir(part, 0777) && errno != EEXIST)
			return push_errno(L, part);
		part[i] = '/';
	}
	if (mkdir(part, 0777) && errno != EEXIST)
		return push_errno(L, part);
	lua_pushboolean(L, 1);
	return 1;
}

/* realpath(path) -> absolute path | nil, message */
static int l_sys_realpath(lua_State *L)
{
	const char *path = lx_checkcstr(L, 1);
	char *real = realpath(path, NULL);

	if (!real)
		return push_errno(L, path);
	lua_pushstring(L, real);
	free(real);
	return 1;
}

/* euid() -> effective user id */
static int l_sys_euid(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)geteuid());
	return 1;
}

/* pid() -> process id */
static int l_sys_pid(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)getpid());
	return 1;
}

/* hostname() -> string */
static int l_sys_hostname(lua_State *L)
{
	char name[256] = "";

	gethostname(name, sizeof name - 1);
	lua_pushstring(L, name);
	return 1;
}

/* getenv(name) -> string or nil */
static int l_sys_getenv(lua_State *L)
{
	lua_pushstring(L, getenv(lx_checkcstr(L, 1)));
	return 1;
}

/* sha256(text) -> hex */
static int l_sys_sha256(lua_State *L)
{
	size_t len;
	const char *s = lx_checkstr(L, 1, &len);
	char hex[65];

	digest_hex(s, len, hex);
	lua_pushstring(L, hex);
	return 1;
}

/* exits() -> list of {code, name, text}: the table of exit codes */
static int l_sys_exits(lua_State *L)
{
	static const struct {
		int code;
		const char *name, *text;
	} rows[] = {
#define X(num, sym, text) { num, #sym, text },
		EXIT_CODES(X)
#undef X
	};
	size_t i;

	lua_newtable(L);
	for (i = 0; i < sizeof rows / sizeof *rows; i++) {
		lua_createtable(L, 0, 3);
		set_int(L, "code", rows[i].code);
		lua_pushstring(L, rows[i].name);
		lua_setfield(L, -2, "name");
		lua_pushstring(L, rows[i].text);
		lua_setfield(L, -2, "text");
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

/* exit_code(error) -> the exit code that an error value stands for */
static int l_sys_exit_code(lua_State *L)
{
	struct err e;

	luaL_checkany(L, 1);
	err_from_lua(L, 1, &e);
	lua_pushinteger(L, exit_code_of(&e));
	return 1;
}

/* signal() -> number of the first signal caught, 0 none */
static int l_sys_signal(lua_State *L)
{
	lua_pushinteger(L, sig_caught());
	return 1;
}

/* leave(): cancels the run; raises it here and now */
static int l_sys_leave(lua_State *L)
{
	task_cancel(task_root(), CANCEL_ASKED);
	task_check(L);
	return 0;
}

/* interrupt(): as if Ctrl-C had been typed */
static int l_sys_interrupt(lua_State *L)
{
	raise(SIGINT);
	task_check(L);
	return 0;
}

/* kinds() -> {binding or kind = "schemes"}: what src/bind/bindings.def lists */
static int l_sys_kinds(lua_State *L)
{
	static const struct {
		const char *name, *schemes;
	} rows[] = {
#define BINDING(name, schemes, pkgs, more) { #name, schemes },
#define KIND(name, schemes) { #name, schemes },
#include "bind/bindings.def"
#undef BINDING
#undef KIND
	};
	size_t i;

	lua_newtable(L);
	for (i = 0; i < sizeof rows / sizeof *rows; i++) {
		lua_pushstring(L, rows[i].schemes);
		lua_setfield(L, -2, rows[i].name);
	}
	return 1;
}

/* file(path) -> text of an embedded file ("lua/help/x.md") or nil */
static int l_sys_file(lua_State *L)
{
	const struct embedded *f = embed_find(lx_checkcstr(L, 1));

	if (f)
		lua_pushlstring(L, f->data, f->len);
	else
		lua_pushnil(L);
	return 1;
}

/* files(prefix) -> paths of the embedded files under it */
static int l_sys_files(lua_State *L)
{
	size_t len;
	const char *prefix = lx_checkstr(L, 1, &len);
	int i, n = 0;

	lua_newtable(L);
	for (i = 0; i < embedded_count; i++) {
		if (strncmp(embedded_files[i].path, prefix, len))
			continue;
		lua_pushstring(L, embedded_files[i].path);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

/* playbook_dir() -> folder of the shipped playbooks, or nil */
static int l_sys_playbook_dir(lua_State *L)
{
	const char *dir = embed_playbook_dir();

	lua_pushstring(L, *dir ? dir : NULL);
	return 1;
}

int luaopen_opsh_c_sys(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "stat", l_sys_stat }, { "read", l_sys_read },
		{ "readdir", l_sys_readdir }, { "save", l_sys_save },
		{ "mkdir", l_sys_mkdir }, { "realpath", l_sys_realpath },
		{ "euid", l_sys_euid }, { "pid", l_sys_pid },
		{ "hostname", l_sys_hostname }, { "getenv", l_sys_getenv },
		{ "sha256", l_sys_sha256 }, { "exits", l_sys_exits },
		{ "exit_code", l_sys_exit_code }, { "signal", l_sys_signal },
		{ "leave", l_sys_leave },
		{ "interrupt", l_sys_interrupt },
		{ "kinds", l_sys_kinds }, { "file", l_sys_file },
		{ "files", l_sys_files },
		{ "playbook_dir", l_sys_playbook_dir }, { NULL, NULL }
	};

	luaL_newlib(L, funcs);
	lua_pushliteral(L, OPSH_VERSION);
	lua_setfield(L, -2, "version");
	return 1;
}
