opsh doc golden/fill
opsh --output jsonl doc golden/fill
opsh doc golden/fil
echo 'print "x"' >script.lua
opsh doc script.lua
