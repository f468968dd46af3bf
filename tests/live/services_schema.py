#!/usr/bin/env python3
"""services_schema.py GUIDE OUTPUT: the rows of services/health --output jsonl are
as the JSON schema in GUIDE says; every line parses. Knows of the schema language
what that schema uses; another word in it fails. Reads only."""
import json
import re
import sys

TYPES = {"object": dict, "string": str, "integer": int}


def check(schema, value, path):
    known = {"$schema", "type", "required", "properties", "enum", "description",
             "minimum", "additionalProperties"}
    assert not set(schema) - known, (path, set(schema) - known)
    if "type" in schema:
        assert isinstance(value, TYPES[schema["type"]]), (path, value)
        assert not isinstance(value, bool), (path, value)
    assert "enum" not in schema or value in schema["enum"], (path, value)
    assert value >= schema["minimum"] if "minimum" in schema else True, path
    if not isinstance(value, dict):
        return
    for name in schema.get("required", []):
        assert name in value, (path, name)
    for name, item in value.items():
        below = schema.get("properties", {}).get(
            name, schema.get("additionalProperties"))
        assert below is not None, "%s: '%s' is not in the schema" % (path, name)
        check(below, item, path + "." + name)


def main():
    guide = open(sys.argv[1], encoding="utf-8").read()
    schema = json.loads(re.search(r"```json\n(.*?)```", guide, re.S).group(1))
    results = []
    for line in open(sys.argv[2], encoding="utf-8"):
        line = json.loads(line)
        if line["type"] == "result":
            results.append(line["value"])
    assert len(results) == 1 and len(results[0]) == 8, results
    for n, row in enumerate(results[0]):
        check(schema, row, "row %d" % n)
    order = ["down", "degraded", "slow", "not checked", "up"]
    ranks = [order.index(row["state"]) for row in results[0]]
    assert ranks == sorted(ranks), ranks


main()
