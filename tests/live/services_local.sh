# shellcheck shell=bash disable=SC2154 # names of services.sh
# services_local.sh: the playbooks of services/ on processes of this machine, for
# services.sh. Owns the processes that it starts, in its throwaway folder; must not
# need root.
