#!/usr/bin/env python3
"""A webhook receiver that verifies what it gets, remembers it, and fails on command.

    python3 receiver.py --port 9000 --endpoint billing=SECRET --endpoint audit=SECRET

Each endpoint takes POSTs at /<name>. Verification is written here from the documented scheme `timestamped` and shares
nothing with the sender: HMAC-SHA256 over `timestamp + "." + body`, compared in constant time, at most 300 s old and at
most 30 s ahead. What fails gets 401; the rest gets 200, or what a script says.

The control surface, JSON, on the same port:

    GET    /-/endpoints           counters of every endpoint
    GET    /-/<name>/records      every request since the last reset, oldest first; ?since=N leaves out the first N
    DELETE /-/<name>/records      forget them; counters start again at 0
    PUT    /-/<name>/script       {"replies": [reply, ...], "then": reply}: the next replies in order, then `then`
                                  for ever; `then` defaults to a plain 200. With "cycle": true the replies come in order
                                  again and again

    reply: {"status": 503, "headers": {"retry-after": "3"}, "delay": 0.5, "act": "answer"}
           `delay` is in seconds. `act` is one of: answer; hang (never answers); reset (breaks the connection without
           an answer); drop (breaks it in the middle of the answer's body); babble (says what is no HTTP). Every part has a
           default.

With `--journal FILE` what was taken is written down before it is answered, and read back at the start: a receiver that
is killed still knows which ids it has. A line is the endpoint's name, the id, and the Unix time it was signed at.

Python's standard library is all it needs. The first line on stdout names the address, also for --port 0.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import socket
import struct
import sys
import time
from collections import deque
from urllib.parse import parse_qs, urlsplit

PAST_MS = 300_000
FUTURE_MS = 30_000
HEAD_LIMIT = 64 * 1024
BODY_LIMIT = 16 * 1024 * 1024
ACTS = ("answer", "hang", "reset", "drop", "babble")


def verify(secret, headers, body, now_ms):
    """None when the request is good, else what is wrong with it. `headers` maps lower-case names to lists."""
    values = {}
    for name in ("x-webhook-signature", "x-webhook-timestamp", "x-webhook-id", "x-webhook-event"):
        found = headers.get(name, [])
        if len(found) != 1 or not found[0]:
            return f"{name}: {len(found)} values, expected one that is not empty"
        values[name] = found[0]
    timestamp = values["x-webhook-timestamp"]
    if not (timestamp.isascii() and timestamp.isdigit()):
        return "x-webhook-timestamp: not Unix milliseconds"
    age_ms = now_ms - int(timestamp)
    if age_ms > PAST_MS:
        return f"x-webhook-timestamp: {age_ms} ms old, at most {PAST_MS} allowed"
    if -age_ms > FUTURE_MS:
        return f"x-webhook-timestamp: {-age_ms} ms ahead, at most {FUTURE_MS} allowed"
    expected = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    # While the sender's secret is being changed, ours may be any of those it signs with.
    signatures = [values["x-webhook-signature"]]
    for also in headers.get("x-webhook-signature-also", []):
        signatures += also.split(",")
    if not any(hmac.compare_digest(expected.encode(), signature.encode("latin-1")) for signature in signatures):
        return "x-webhook-signature: does not match the body, the timestamp and the secret"
    return None


class Endpoint:
    """One name, one secret, what has arrived and how to answer what comes next."""

    def __init__(self, name, secret, compact):
        self.name = name
        self.secret = secret.encode()
        self.compact = compact
        self.journal = None
        self.replies = deque()
        self.then = {}
        self.cycle = False
        self.forget()

    def forget(self):
        self.records = []
        self.delivered = set()
        self.requests = self.verified = self.refused = self.duplicates = 0

    def counters(self):
        """`delivered` counts ids answered 2xx; `duplicates` counts requests for an id that had been by then."""
        return {
            "requests": self.requests,
            "verified": self.verified,
            "refused": self.refused,
            "delivered": len(self.delivered),
            "duplicates": self.duplicates,
        }

    def receive(self, request):
        """Takes a request into the books and says how to answer it."""
        wall = time.time()
        headers = {}
        for name, value in request.headers:
            headers.setdefault(name.lower(), []).append(value)
        problem = verify(self.secret, headers, request.body, int(wall * 1000))
        message_id = headers.get("x-webhook-id", [""])[0]
        reply = self.replies.popleft() if self.replies else self.then
        if self.cycle:
            self.replies.append(reply)
        if problem:
            reply = {**reply, "status": 401}
        # The sender's clock says when the attempt began; how late we were to read it is our own affair.
        signed = wall if problem else int(headers["x-webhook-timestamp"][0]) / 1000
        taken = 200 <= reply.get("status", 200) < 300 and reply.get("act", "answer") == "answer"
        self.count(problem, message_id, taken, signed)
        record = {"wall": wall, "signed": signed, "id": message_id, "problem": problem, "taken": taken}
        attempt = headers.get("x-webhook-attempt", [""])[0]
        record["attempt"] = int(attempt) if attempt.isascii() and attempt.isdigit() else 0
        record["agent"] = headers.get("user-agent", [""])[0]
        if not self.compact:
            record["method"] = request.method
            record["headers"] = request.headers
            # One character a byte: any bytes survive, and text can be read.
            record["body"] = request.body.decode("latin-1")
            record["reply"] = reply
        self.records.append(record)
        return reply

    def count(self, problem, message_id, taken, signed):
        self.requests += 1
        if problem:
            self.refused += 1
        else:
            self.verified += 1
        if taken and self.journal:
            self.journal.write(f"{self.name} {message_id} {signed:.3f}\n")
        self.remember(message_id, taken)

    def remember(self, message_id, taken):
        if message_id in self.delivered:
            self.duplicates += 1
        elif taken:
            self.delivered.add(message_id)

    def script(self, value):
        """Sets the replies, or raises ValueError with what is wrong with them."""
        replies, then = value.get("replies", []), value.get("then", {})
        for reply in [*replies, then]:
            unknown = set(reply) - {"status", "headers", "delay", "act"}
            if unknown or reply.get("act", "answer") not in ACTS:
                raise ValueError(f"not a reply: {reply}")
        cycle = value.get("cycle", False)
        if cycle and not replies:
            raise ValueError("no replies to cycle through")
        self.replies, self.then, self.cycle = deque(replies), then, cycle


class Request:
    """A request head, and its body once it is there."""

    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _version = lines[0].split(" ")
        self.headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise ValueError(f"not a header: {line!r}")
            self.headers.append((name, value.strip(" \t")))
        self.body = b""
        lengths = [value for name, value in self.headers if name.lower() == "content-length"]
        if any(name.lower() == "transfer-encoding" for name, _ in self.headers) or len(lengths) > 1:
            raise ValueError("a body needs exactly one content-length")
        self.length = int(lengths[0]) if lengths else 0
        if not 0 <= self.length <= BODY_LIMIT:
            raise ValueError(f"content-length: at most {BODY_LIMIT}")


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request at a time: quicker than http.server, which cannot keep up with a load."""

    def __init__(self, endpoints):
        self.endpoints = endpoints
        self.buffer = bytearray()
        self.head = None
        self.busy = False

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exc):
        self.busy = True

    def data_received(self, data):
        self.buffer += data
        self.advance()

    def advance(self):
        """Answers every whole request in the buffer, unless an answer is still under way."""
        try:
            while not self.busy and (request := self.take()):
                self.busy = True
                self.serve(request)
        except ValueError as problem:
            self.busy = True
            self.answer(400, {"connection": "close"}, str(problem).encode())
            self.transport.close()

    def take(self):
        """One whole request out of the buffer, or None when it is not all there yet."""
        if self.head is None:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self.buffer) > HEAD_LIMIT:
                    raise ValueError("the head is too large")
                return None
            self.head = Request(self.buffer[:end])
            del self.buffer[: end + 4]
        length = self.head.length
        if len(self.buffer) < length:
            return None
        request, self.head = self.head, None
        request.body = bytes(self.buffer[:length])
        del self.buffer[:length]
        return request

    def serve(self, request):
        url = urlsplit(request.target)
        if url.path.startswith("/-/"):
            status, value = control(self.endpoints, request, url)
            self.finish({"status": status}, json.dumps(value).encode())
            return
        endpoint = self.endpoints.get(url.path[1:])
        if endpoint is None or request.method != "POST":
            self.finish({"status": 404 if endpoint is None else 405}, b"")
            return
        reply = endpoint.receive(request)
        if reply.get("delay"):
            asyncio.get_running_loop().call_later(reply["delay"], self.finish, reply, b"")
        else:
            self.finish(reply, b"")

    def finish(self, reply, body):
        if self.transport.is_closing():
            return
        act = reply.get("act", "answer")
        if act == "hang":
            return
        if act == "reset":
            # With nothing to linger for, closing sends a RST.
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()
            return
        if act == "drop":
            self.answer(reply.get("status", 200), {"content-length": "1000"}, b"half of")
            self.transport.close()
            return
        if act == "babble":
            self.transport.write(b"SSH-2.0-OpenSSH_9.6\r\n")
            self.transport.close()
            return
        self.answer(reply.get("status", 200), {"content-length": str(len(body)), **reply.get("headers", {})}, body)
        self.busy = False
        if self.buffer:
            self.advance()

    def answer(self, status, headers, body):
        head = f"HTTP/1.1 {status} Scripted\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(head.encode("latin-1") + b"\r\n" + body)


def control(endpoints, request, url):
    """The control surface: a status and a JSON value."""
    words = url.path.split("/")[2:]
    if words == ["endpoints"] and request.method == "GET":
        return 200, {name: endpoint.counters() for name, endpoint in endpoints.items()}
    endpoint = endpoints.get(words[0])
    if endpoint is None or len(words) != 2:
        return 404, {"error": f"nothing at {url.path}"}
    match (request.method, words[1]):
        case ("GET", "records"):
            since = int(parse_qs(url.query).get("since", ["0"])[0])
            return 200, endpoint.records[since:]
        case ("DELETE", "records"):
            endpoint.forget()
        case ("PUT", "script"):
            endpoint.script(json.loads(request.body))
        case _:
            return 405, {"error": f"{request.method} is not for {url.path}"}
    return 200, endpoint.counters()


def open_journal(path, endpoints):
    """Reads back what earlier lives of this receiver took, and goes on writing there, line by line."""
    journal = open(path, "a+", buffering=1)
    journal.seek(0)
    for line in journal:
        name, message_id, _time = line.split()
        if name in endpoints:
            endpoints[name].remember(message_id, True)
    for endpoint in endpoints.values():
        endpoint.journal = journal


async def serve(arguments):
    endpoints = {}
    for entry in arguments.endpoint:
        name, _, secret = entry.partition("=")
        if not name or not secret or name == "-":
            sys.exit(f"--endpoint {name!r}: expected NAME=SECRET")
        endpoints[name] = Endpoint(name, secret, arguments.compact)
    if arguments.journal:
        open_journal(arguments.journal, endpoints)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(endpoints), "127.0.0.1", arguments.port, backlog=1024)
    host, port = server.sockets[0].getsockname()
    print(f"listening on http://{host}:{port}", flush=True)
    await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description="A webhook receiver that verifies, remembers and fails on command.")
    parser.add_argument("--port", type=int, default=0, help="0, the default: any free one")
    parser.add_argument("--endpoint", action="append", required=True, metavar="NAME=SECRET")
    parser.add_argument("--compact", action="store_true", help="remember neither headers nor bodies: for long, fast runs")
    parser.add_argument("--journal", metavar="FILE", help="remember ids there, over restarts too")
    try:
        asyncio.run(serve(parser.parse_args()))
    except KeyboardInterrupt:
        pass
    except OSError as problem:
        sys.exit(f"receiver.py: {problem}")


if __name__ == "__main__":
    main()
