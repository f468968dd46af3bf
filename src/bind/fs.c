/*
 * fs: module opsh.c.fs: files, folders and what is in them. What a call's life
 * is, fs_job.c says; here stands only of which parts the module is made. Owns
 * nothing.
 */
#include "bind/fs.h"

#include <lauxlib.h>

int luaopen_opsh_c_fs(lua_State *L)
{
	luaL_requiref(L, "opsh.c.target", luaopen_opsh_c_target, 0);
	lua_pop(L, 1);
	lua_newtable(L);
	fs_open_read(L);
	fs_open_write(L);
	fs_open_tree(L);
	fs_open_glob(L);
	fs_open_pack(L);
	return 1;
}
