#!/usr/bin/env python3
"""Speaks to the socket of a compute agent as any agent of a host would: a line of JSON each way.

`agent.py SOCKET REQUEST...` sends the requests, and prints what is told until each of them is over,
at most a minute. `--until EVENT` ends with the first such event."""

import json
import socket
import sys
import time

# The last word on a request.
LAST = {"done", "failed", "error", "released", "ended"}


def main() -> int:
    path, *requests = sys.argv[1:]
    until = None
    if "--until" in requests:
        at = requests.index("--until")
        until = requests[at + 1]
        del requests[at : at + 2]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        sock.connect(path)
        lines = sock.makefile("rw", buffering=1)
        for number, request in enumerate(requests):
            lines.write(json.dumps({"id": number, **json.loads(request)}) + "\n")
        open_ones = set(range(len(requests)))
        end = time.monotonic() + 60
        while open_ones and time.monotonic() < end:
            line = lines.readline()
            if not line:
                print("the agent hung up", file=sys.stderr)
                return 1
            event = json.loads(line)
            print(line, end="", flush=True)
            if event["event"] == until:
                return 0
            if event["event"] in LAST:
                open_ones.discard(event.get("id"))
    return 0 if not open_ones else 1


sys.exit(main())
