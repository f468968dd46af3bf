-- :refresh: what completion knows of the
-- servers (tables, topics, groups ...) is
-- asked again.
return {
	name = "refresh",
	summary = "what completion knows of the targets is asked again",
	run = function(ctx)
		require("repl.catalog").refresh(ctx)
		ctx.err "completion asks the targets again\n"
	end,
}
