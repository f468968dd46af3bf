/*
 * embed: writes a C file that holds the files named, sorted by their name, as
 * byte arrays. Lua modules are compiled first (with their line numbers), so that
 * start-up parses nothing; documentation (lua/meta, lua/help) stays text. What a
 * module says of itself in comments is embedded too, as "doc/..." (stubs.lua). A
 * build tool; its output is build/MODE/embedded.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lualib.h>

struct item {
	char name[256];		/* "lua/opsh/fs.lua", "doc/opsh/fs.lua" */
	const char *path;	/* borrowed: from argv */
	int stub;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->name,
		      ((const struct item *)b)->name);
}

static void put(const unsigned char *data, size_t len, int *col)
{
	size_t i;

	for (i = 0; i < len; i++)
		printf("%s%d,", (*col)++ % 20 ? "" : "\n",
		       data[i] > 127 ? data[i] - 256 : data[i]);
}

static int writer(lua_State *L, const void *data, size_t len, void *col)
{
	(void)L;
	put(data, len, col);
	return 0;
}

static int dump_text(const char *path)
{
	unsigned char chunk[8192];
	FILE *in = fopen(path, "rb");
	int col = 0;
	size_t n;

	if (!in) {
		perror(path);
		return -1;
	}
	while ((n = fread(chunk, 1, sizeof chunk, in)) > 0)
		put(chunk, n, &col);
	fclose(in);
	return 0;
}

static char source[1 << 20];

/* The length of the file, which is in source then; -1: told why not. */
static long read_source(const char *path)
{
	FILE *in = fopen(path, "rb");
	size_t n;

	if (!in) {
		perror(path);
		return -1;
	}
	n = fread(source, 1, sizeof source, in);
	fclose(in);
	if (n == sizeof source) {
		fprintf(stderr, "%s: larger than 1 MiB\n", path);
		return -1;
	}
	return (long)n;
}

/* Compiles path under the name that messages show: "opsh:run/cli.lua". */
static int dump_module(lua_State *L, const char *path)
{
	char name[512];
	int col = 0;
	long n = read_source(path);

	if (n < 0)
		return -1;
	snprintf(name, sizeof name, "=opsh:%s", path + strlen("lua/"));
	if (luaL_loadbufferx(L, source, (size_t)n, name, "t")) {
		fprintf(stderr, "%s: %s\n", path, lua_tostring(L, -1));
		return -1;
	}
	lua_dump(L, writer, &col, 0);
	lua_pop(L, 1);
	return 0;
}

/* What path says of itself, by the function at index 1. */
static int dump_stub(lua_State *L, const char *path)
{
	const char *text;
	int col = 0;
	size_t len;
	long n = read_source(path);

	if (n < 0)
		return -1;
	lua_pushvalue(L, 1);
	lua_pushlstring(L, source, (size_t)n);
	if (lua_pcall(L, 1, 1, 0)) {
		fprintf(stderr, "%s: %s\n", path, lua_tostring(L, -1));
		return -1;
	}
	text = lua_tolstring(L, -1, &len);
	put((const unsigned char *)text, len, &col);
	lua_pop(L, 1);
	return 0;
}

static int is_module(const char *path)
{
	size_t len = strlen(path);

	return len > 4 && !strcmp(path + len - 4, ".lua") &&
		strncmp(path, "lua/meta/", 9) != 0;
}

/* Public modules, and what of the runner is a global of user code. */
static int has_stub(const char *path)
{
	long n;

	if (!strncmp(path, "lua/opsh/", 9))
		return 1;
	if (strncmp(path, "lua/run/", 8) != 0)
		return 0;
	n = read_source(path);
	if (n < 0)
		return 0;
	source[n] = '\0';
	return strstr(source, "\n---@global ") != NULL;
}

static int collect(struct item *items, char **paths)
{
	int n = 0;

	for (; *paths; paths++) {
		snprintf(items[n].name, sizeof items[n].name, "%s", *paths);
		items[n].path = *paths;
		items[n++].stub = 0;
		if (!has_stub(*paths))
			continue;
		snprintf(items[n].name, sizeof items[n].name, "doc%s",
			 *paths + strlen("lua"));
		items[n].path = *paths;
		items[n++].stub = 1;
	}
	qsort(items, (size_t)n, sizeof *items, by_name);
	return n;
}

static int dump(lua_State *L, const struct item *item)
{
	if (item->stub)
		return dump_stub(L, item->path);
	return is_module(item->path) ? dump_module(L, item->path)
				     : dump_text(item->path);
}

/* embed STUBS.lua FILE... */
int main(int argc, char **argv)
{
	static struct item items[4096];
	lua_State *L = luaL_newstate();
	int i, count;

	if (!L || argc < 2 || argc > 2048)
		return 1;
	luaL_openlibs(L);
	if (luaL_dofile(L, argv[1])) {
		fprintf(stderr, "%s\n", lua_tostring(L, -1));
		return 1;
	}
	count = collect(items, argv + 2);
	printf("/* made by src/tools/embed.c */\n"
	       "#include \"core/embed.h\"\n");
	for (i = 0; i < count; i++) {
		printf("static const char file_%d[] = {", i);
		if (dump(L, &items[i]))
			return 1;
		printf("\n0};\n");
	}
	printf("const struct embedded embedded_files[] = {\n");
	for (i = 0; i < count; i++)
		printf("\t{ \"%s\", file_%d, sizeof file_%d - 1 },\n",
		       items[i].name, i, i);
	printf("};\nconst int embedded_count = %d;\n", count);
	lua_close(L);
	return 0;
}
