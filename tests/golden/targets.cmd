cat >t.lua <<'LUA'
return {
  environment = "golden", protected = true,
  targets = {
    cache = { kind = "redis", url = "redis://cache.example:6379/0",
      password = secret.env "NOT_SET", role = "master",
      description = "the flights" },
    other = { url = "redis://ops:hunter22@cache.example:7000/3" },
  },
}
LUA
opsh --targets t.lua targets
opsh --targets t.lua --output jsonl targets
opsh --targets t.lua --target third=redis+unix:///run/redis.sock targets
opsh --targets t.lua -e 'cache:get "a"'
opsh targets
