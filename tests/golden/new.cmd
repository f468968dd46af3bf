opsh new playbooks/redis/look.lua --needs cache=redis
cat playbooks/redis/look.lua
opsh check redis/look
opsh new playbooks/redis/look.lua
opsh new look
