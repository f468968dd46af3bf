-- exceptions: the one place where a rule of the lint does not hold, and why.
-- rule -> { ["FILE SUBJECT"] = why }. One that no finding needs any more is a
-- finding itself. Must stay short: mend the code first.
return {
	["ends-process"] = {
		["src/core/sig.c _exit"] =
			"the third Ctrl-C leaves a C function that does not end",
	},
	names = {
		["src/core/co.c task_open_base"] = "coroutine.* is a part of task.h",
		["src/core/task.c co_extra"] = "task.c knows where a coroutine's extra "
			.. "space is; declared in task_impl.h",
		["src/core/err.c outcome_name"] = "outcomes are a part of err.h",
		["src/bind/json_encode.c l_json_encode"] = "json.c registers it",
	},
	bindings = {
		["src/bind/pg_sql.c nil"] = "pg, whose row comes with its pg.c",
		["src/bind/pg_sql.h nil"] = "pg, whose row comes with its pg.c",
		["src/bind/pg_sql_call.c nil"] = "pg, whose row comes with its pg.c",
		["src/bind/pg_sql_func.c nil"] = "pg, whose row comes with its pg.c",
		["src/bind/pg_sql_func.h nil"] = "pg, whose row comes with its pg.c",
		["src/bind/pg_sql_lookup.c nil"] = "pg, whose row comes with its pg.c",
		["src/bind/pg_sql_stmt.c nil"] = "pg, whose row comes with its pg.c",
		["src/bind/pg_sql_tag.c nil"] = "pg, whose row comes with its pg.c",
		["src/bind/pg_sql_tree.c nil"] = "pg, whose row comes with its pg.c",
		["src/bind/pg_sql_tree.h nil"] = "pg, whose row comes with its pg.c",
		["src/bind/pg_sql_walk.c nil"] = "pg, whose row comes with its pg.c",
		["src/bind/pg_sql_walk.h nil"] = "pg, whose row comes with its pg.c",
		["src/bind/pg_sql_where.c nil"] = "pg, whose row comes with its pg.c",
	},
	meta = {
		["src/run/testing.c testing"] = "in test builds only",
	},
}
