"""normal.py: objects of Kubernetes on stdin as lines that can be compared: what
differs between two namespaces by nature (times, ids, versions, the order of
variables) is taken out. Must not hide anything else.
"""

import json
import sys


def strip(item):
    meta = item["metadata"]
    notes = {k: v for k, v in meta.get("annotations", {}).items()
             if "last-applied" not in k and "opsh/replicas" not in k
             and "deployment.kubernetes.io/revision" not in k
             and "deprecated.daemonset" not in k}
    spec = item.get("spec", {})
    template = spec.get("template", {}).get("metadata", {})
    for key in template.get("annotations", {}):
        if key.endswith("restartedAt"):
            template["annotations"][key] = "now"
    for container in spec.get("template", {}).get("spec", {}).get("containers", []):
        container.get("env", []).sort(key=lambda e: e["name"])  # kubectl appends
    return {"kind": item["kind"], "name": meta["name"], "notes": notes,
            "spec": spec, "data": item.get("data"), "type": item.get("type")}


items = [strip(i) for i in json.load(sys.stdin)["items"]
         if not i["metadata"]["name"].startswith("sh.helm")]
items.sort(key=lambda i: (i["kind"], i["name"]))
print(json.dumps(items, indent=1, sort_keys=True))
