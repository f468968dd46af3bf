/*
 * embed: writes a C file that holds the files named, sorted by their name, as
 * byte arrays. Lua modules are compiled first (with their line numbers), so that
 * start-up parses nothing; documentation (lua/meta, lua/help) stays text. A build
 * tool; its output is build/MODE/embedded.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
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

/* Compiles path under the name that messages show: "opsh:run/cli.lua". */
static int dump_module(lua_State *L, const char *path)
{
	static char source[1 << 20];
	char name[512];
	FILE *in = fopen(path, "rb");
	int col = 0;
	size_t n;

	if (!in) {
		perror(path);
		return -1;
	}
	n = fread(source, 1, sizeof source, in);
	fclose(in);
	snprintf(name, sizeof name, "=opsh:%s", path + strlen("lua/"));
	if (n == sizeof source ||
	    luaL_loadbufferx(L, source, n, name, "t")) {
		fprintf(stderr, "%s: %s\n", path, n == sizeof source
			? "larger than 1 MiB" : lua_tostring(L, -1));
		return -1;
	}
	lua_dump(L, writer, &col, 0);
	lua_pop(L, 1);
	return 0;
}

static int is_module(const char *path)
{
	size_t len = strlen(path);

	return len > 4 && !strcmp(path + len - 4, ".lua") &&
		strncmp(path, "lua/meta/", 9) != 0;
}

int main(int argc, char **argv)
{
	lua_State *L = luaL_newstate();
	int i, failed;

	if (!L)
		return 1;
	qsort(argv + 1, (size_t)argc - 1, sizeof *argv, by_name);
	printf("/* made by src/tools/embed.c */\n"
	       "#include \"core/embed.h\"\n");
	for (i = 1; i < argc; i++) {
		printf("static const char file_%d[] = {", i);
		failed = is_module(argv[i]) ? dump_module(L, argv[i])
					    : dump_text(argv[i]);
		if (failed)
			return 1;
		printf("\n0};\n");
	}
	printf("const struct embedded embedded_files[] = {\n");
	for (i = 1; i < argc; i++)
		printf("\t{ \"%s\", file_%d, sizeof file_%d - 1 },\n",
		       argv[i], i, i);
	printf("};\nconst int embedded_count = %d;\n", argc - 1);
	lua_close(L);
	return 0;
}
