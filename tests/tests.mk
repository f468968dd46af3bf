# tests.mk: targets test, check, bench, demo; included by the Makefile.
