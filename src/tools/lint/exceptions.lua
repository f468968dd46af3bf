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
	},
	meta = {
		["src/run/testing.c testing"] = "in test builds only",
	},
}
