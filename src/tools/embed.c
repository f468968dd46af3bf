/*
 * embed: writes a C file that holds the files named, sorted by their name, as
 * byte arrays. A build tool; its output is build/MODE/embedded.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int dump(const char *path, int index)
{
	FILE *in = fopen(path, "rb");
	int c, col = 0;

	if (!in) {
		perror(path);
		return -1;
	}
	printf("static const char file_%d[] = {", index);
	while ((c = getc(in)) != EOF)
		printf("%s%d,", col++ % 20 ? "" : "\n",
		       c > 127 ? c - 256 : c);
	printf("\n0};\n");
	fclose(in);
	return 0;
}

int main(int argc, char **argv)
{
	int i;

	qsort(argv + 1, (size_t)argc - 1, sizeof *argv, by_name);
	printf("/* made by src/tools/embed.c */\n"
	       "#include \"core/embed.h\"\n");
	for (i = 1; i < argc; i++)
		if (dump(argv[i], i))
			return 1;
	printf("const struct embedded embedded_files[] = {\n");
	for (i = 1; i < argc; i++)
		printf("\t{ \"%s\", file_%d, sizeof file_%d - 1 },\n",
		       argv[i], i, i);
	printf("};\nconst int embedded_count = %d;\n", argc - 1);
	return 0;
}
