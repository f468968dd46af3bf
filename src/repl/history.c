/*
 * history: appends to and rewrites the history's file under flock. The lock is
 * on the file itself; after it was taken the name is looked at again, as who
 * rewrites puts a new file in its place. Owns its descriptors in slots, as Lua
 * runs while the lock is held.
 */
#include "repl/history.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/lx.h"

#define META "opsh.history"
#define TRIES 100		/* times 10 ms: others hold it for less */

static int l_file_gc(lua_State *L)
{
	int *fd = lua_touserdata(L, 1);

	if (*fd >= 0)
		close(*fd);	/* the lock goes with it */
	*fd = -1;
	return 0;
}

/* [-0, +1, m] */
static int *new_file(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__gc", l_file_gc }, { "__close", l_file_gc }, { NULL, NULL }
	};
	int *fd = lua_newuserdatauv(L, sizeof *fd, 0);

	*fd = -1;
	lx_metatable(L, META, NULL, meta);
	luaL_setmetatable(L, META);
	lua_toclose(L, -1);	/* Lua runs while the lock is held */
	return fd;
}

static int same_file(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat(path, &b) && a.st_dev == b.st_dev &&
		a.st_ino == b.st_ino;
}

/* Opens the file and holds its lock. 0, or errno. */
static int open_locked(int *fd, const char *path)
{
	int i, e;

	for (i = 0; i < TRIES; i++) {
		*fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC |
			   O_NOFOLLOW, 0600);
		if (*fd < 0)
			return errno;
		if (!flock(*fd, LOCK_EX | LOCK_NB) && same_file(*fd, path))
			return 0;
		e = errno;
		close(*fd);
		*fd = -1;
		if (e != EWOULDBLOCK && e != EINTR && e != 0)
			return e;
		usleep(10000);
	}
	return EWOULDBLOCK;
}

static int write_all(int fd, const char *data, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int failed(lua_State *L, const char *path, int e)
{
	lua_pushnil(L);
	lua_pushfstring(L, "%s: %s", path, e == EWOULDBLOCK
			? "another session holds its lock" : strerror(e));
	return 2;
}

int history_append_lua(lua_State *L)
{
	const char *path = lx_checkcstr(L, 1);
	size_t len;
	const char *text = lx_checkstr(L, 2, &len);
	int *fd = new_file(L);
	struct stat st;
	int e = open_locked(fd, path);

	if (!e)
		e = write_all(*fd, text, len);
	if (!e && fstat(*fd, &st))
		e = errno;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	if (e)
		return failed(L, path, e);
	lua_pushinteger(L, (lua_Integer)st.st_size);
	return 1;
}

/* Pushes the file's contents. 0, or errno. [-0, +1 or +0, m] */
static int push_contents(lua_State *L, int fd)
{
	luaL_Buffer b;
	char data[4096];
	ssize_t n;

	luaL_buffinit(L, &b);
	while ((n = read(fd, data, sizeof data)) > 0 ||
	       (n < 0 && errno == EINTR))
		if (n > 0)
			luaL_addlstring(&b, data, (size_t)n);
	luaL_pushresult(&b);
	return n < 0 ? errno : 0;
}

/* Puts a new file with these contents in the place of the old. 0, or errno. */
static int replace(lua_State *L, int *fd, const char *path, const char *text,
		   size_t len)
{
	const char *temp = lua_pushfstring(L, "%s.%d", path, (int)getpid());
	int e;

	*fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		   0600);
	if (*fd < 0)
		return errno;
	e = write_all(*fd, text, len);
	if (!e && fsync(*fd))
		e = errno;
	if (!e && rename(temp, path))
		e = errno;
	if (e)
		unlink(temp);
	return e;
}

int history_rewrite_lua(lua_State *L)
{
	const char *path = lx_checkcstr(L, 1);
	int *fd, *new, e;
	size_t len;
	const char *text;

	luaL_checktype(L, 2, LUA_TFUNCTION);
	fd = new_file(L);
	new = new_file(L);
	e = open_locked(fd, path);
	if (!e) {
		lua_pushvalue(L, 2);
		e = push_contents(L, *fd);
	}
	if (!e) {
		lua_call(L, 1, 1);
		text = lua_tolstring(L, -1, &len);
		if (text)
			e = replace(L, new, path, text, len);
	}
	if (*new >= 0)
		close(*new);
	if (*fd >= 0)
		close(*fd);
	*fd = *new = -1;
	if (e)
		return failed(L, path, e);
	lua_pushboolean(L, 1);
	return 1;
}
