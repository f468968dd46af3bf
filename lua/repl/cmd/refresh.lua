-- :refresh: what completion knows of the
-- servers (tables, topics, groups ...) is
-- asked again.
return {
	name = "refresh",
	summary = "what completion knows of the targets is asked again",
	run = function(ctx)
		if ctx.refresh then ctx.refresh() end
		ctx.err "completion asks the targets again\n"
	end,
}
