-- :quit: ends the session. With jobs that are running it says so first; asked
-- again it ends them. Does not end anything itself: the session's loop does,
-- once this entry has ended.
return {
	name = "quit",
	summary = "ends the session; with jobs running it asks once",
	run = function(ctx)
		local n = #ctx.jobs.list
		-- another entry between: it asks again
		local again = ctx.quit_asked and ctx.entry == ctx.quit_asked + 1
		if n > 0 and not again then
			ctx.quit_asked = ctx.entry
			ctx.err(("%s running; :quit again ends %s\n"):format(n == 1
				and "a job is" or n .. " jobs are", n == 1 and "it" or "them"))
			return
		end
		ctx.quit(0)
	end,
}
