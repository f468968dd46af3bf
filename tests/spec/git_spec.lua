-- git_spec: opsh.git on real working copies: what it reads of them, what its writes
-- do and put back, names that could be options. Needs git itself. Owns throwaway
-- folders.
local effect = require "opsh.c.effect"
local exec = require "opsh.c.exec"
local git = require "opsh.git"
local sys = require "opsh.c.sys"
local target = require "opsh.c.target"

local host = target.host()

local function sh(dir, text)
	return exec.run(host, { { "sh", "-ec", text } }, { class = "read", cwd = dir,
		env = { GIT_CONFIG_GLOBAL = "/dev/null", HOME = dir } }).stdout
end

-- A run of its own: whether an earlier spec has left one open is not its matter.
effect.close_run()
effect.begin_run(os.getenv "XDG_STATE_HOME" .. "/opsh/runs")

-- A body of a test: f(repository, folder): three commits, a tag, an origin.
local function with(f, mode)
	return function()
		local dir = os.tmpname()
		os.remove(dir)
		assert(sys.mkdir(dir))
		local before = effect.mode()
		local _ <close> = setmetatable({}, { __close = function()
			effect.mode(before)
			exec.run(host, { { "rm", "-rf", "--", dir } }, { class = "read" })
		end })
		sh(dir, [[
			git init -q -b main origin
			cd origin
			git config user.name 'Ann Ops'
			git config user.email ann@example.org
			echo 1 >a; git add a; git commit -qm first
			echo 2 >a; echo x >'b c'; git add .; git commit -qm 'second: two files'
			git tag -a v1 -m one
			echo 3 >a; git commit -qam third
			cd ..
			git clone -q origin work
			cd work
			git config user.name 'Ann Ops'
			git config user.email ann@example.org
		]])
		effect.mode(mode or "write")
		f(git.of(dir .. "/work"), dir)
	end
end

describe("git", function()
	it("names of commits are no options", function()
		for _, bad in ipairs { "", "-f", "--upload-pack=x", "a b", "a..b", "a\nb",
			"a:b", "a\0", ("x"):rep(251), 1, {}, false } do
			raises("usage", git.ref, bad)
		end
		for _, fine in ipairs { "main", "v1.0", "HEAD~1", "v1^{}", "feature/x-y",
			"origin/main" } do
			eq(git.ref(fine), fine)
		end
		raises("usage", git.of, 1)
		for _, name in ipairs { "status", "log", "head", "commit", "branch", "tags",
			"diff_stat", "fetch", "pull", "checkout", "revert" } do
			eq(type(git[name]), "function", name)
		end
	end)

	it("reads", with(function(g, dir)
		local head = sh(dir, "git -C work rev-parse HEAD"):match "%x+"
		eq(g:head(), head)
		eq(g:branch(), "main")
		eq(g:status(), { head = head, branch = "main", upstream = "origin/main",
			ahead = 0, behind = 0, clean = true, changes = {}, untracked = {} })
		local log = g:log { max = 2 }
		eq(#log, 2)
		eq(log[1].commit, head)
		eq(log[2].subject, "second: two files")
		eq(log[2].author, "Ann Ops")
		eq(log[2].email, "ann@example.org")
		ok(log[2].time > 1e9)
		eq(#g:log { path = "b c" }, 1)
		eq(g:log({ ref = "v1" })[1].subject, "second: two files")
		local tags = g:tags()
		eq(#tags, 1)
		eq(tags[1].name, "v1")
		eq(tags[1].commit, g:commit "v1")
		eq(g:tags "x*", {})
		eq(g:diff_stat("HEAD~2", "v1"), { { path = "a", added = 1, removed = 1 },
			{ path = "b c", added = 1, removed = 0 } })
		raises("usage", g.commit, g, "nothing")
		raises("usage", g.log, g, { max = 0 })
		raises("usage", g.log, g, { maks = 1 })
		raises("usage", g.tags, g, "a b")
	end))

	it("sees what differs", with(function(g, dir)
		sh(dir, "cd work; echo 9 >a; echo y >new; git mv 'b c' d; touch -d @1 a")
		local s = g:status()
		eq(s.clean, false)
		eq(s.untracked, { "new" })
		eq(s.changes, { { path = "a", index = ".", tree = "M" },
			{ path = "d", index = "R", tree = "." } })
	end))

	it("a read leaves the index alone", with(function(g, dir)
		sh(dir, "touch -d @1 work/a")
		local before = sys.stat(dir .. "/work/.git/index")
		g:status()
		eq(sys.stat(dir .. "/work/.git/index"), before)
	end))

	it("goes to a release and back", with(function(g, dir)
		eq(g:checkout("v1").ok, true)
		eq(g:branch(), nil)
		eq(g:head(), g:commit "v1")
		g:checkout "main"
		eq(g:branch(), "main")
		raises("usage", g.checkout, g, "a")	-- a file is no commit
		raises("usage", g.checkout, g, "-f")
		sh(dir, "echo 9 >work/a")
		local e = raises("server", g.checkout, g, "v1")
		ok(e.message:find "'git checkout' failed: .*overwritten", e.message)
		eq(e.outcome, "failed")
		eq(sh(dir, "cat work/a"), "9\n")
	end))

	it("fetches and pulls", with(function(g, dir)
		sh(dir, "cd origin; echo 4 >a; git commit -qam fourth; git tag v2")
		g:fetch { tags = true, prune = true, remote = "origin" }
		eq(g:status().behind, 1)
		eq(#g:tags(), 2)
		g:pull()
		eq(g:status().behind, 0)
		eq(sh(dir, "cat work/a"), "4\n")
		sh(dir, [[cd origin; echo 5 >a; git commit -qam fifth
			cd ../work; echo z >z; git add z; git commit -qm ours]])
		ok(raises("server", g.pull, g).message:find "'git pull' failed")
		raises("usage", g.fetch, g, { remote = "--upload-pack=touch x" })
	end))

	it("reverts, or leaves all as it was", with(function(g, dir)
		g:revert "HEAD"
		eq(sh(dir, "cat work/a"), "2\n")
		eq(g:log({ max = 1 })[1].subject, 'Revert "third"')
		local head = g:head()
		local e = raises("server", g.revert, g, "HEAD~3")
		eq(e.message, "'HEAD~3' can't be reverted without conflicts")
		eq(g:status().clean, true)
		eq(g:head(), head)
	end))

	it("changes nothing in a plan", with(function(g, dir)
		local before = sh(dir, "cd work; git rev-parse HEAD; cat a")
		local n = effect.status().withheld
		g:checkout "v1"
		g:revert "HEAD"
		g:fetch()
		g:pull()
		eq(effect.status().withheld, n + 4)
		eq(sh(dir, "cd work; git rev-parse HEAD; cat a"), before)
	end, "plan"))

	it("says that it is no working copy", function()
		local e = raises("server", function() git.of("/"):status() end)
		ok(e.message:find "not a git repository", e.message)
	end)
end)

effect.close_run()
