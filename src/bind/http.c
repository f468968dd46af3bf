/*
 * http: the C module `opsh.c.http`; opsh.http stands in front of it. Opens the
 * parts. libcurl is set up with the first client and released after the last.
 */
#include "bind/http.h"

int luaopen_opsh_c_http(lua_State *L);

int luaopen_opsh_c_http(lua_State *L)
{
	lua_newtable(L);
	http_open_client(L);
	http_open_call(L);
	http_open_stream(L);
	http_open_push(L);
	return 1;
}
