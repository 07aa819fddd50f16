#!/usr/bin/env python3
"""A receiver of Gatepost's webhooks, complete, with nothing but Python 3.8 and its standard library.

    WEBHOOK_SECRET=... PORT=8080 python3 receiver.py

It takes POSTs at /webhooks and answers /health. Make it yours in `work`, at the end of this file.

A 2xx is a promise, for the sender forgets the event then. So an event is on disk before the answer leaves, and is worked
on after it: the answer is quick however long the work takes, and a crash loses nothing. The directory is queue and
memory in one: `new/<id>` waits for its work, `done/<id>` is an id that had it. Where you have a database, a table with
the id as its primary key does the same, for many instances of this at once.

Environment: WEBHOOK_SECRET; WEBHOOK_SECRET_NEXT, accepted too, while the secret is changed; HOST and PORT (127.0.0.1 and
8080; port 0 is any free one); INBOX, the directory (./inbox), for one process alone.
"""

import hashlib
import hmac
import os
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAST_S = 300
FUTURE_S = 30
BODY_MAX = 1024 * 1024
# Ids are remembered for longer than the sender keeps trying: its `max_age`, a day, and an hour.
REMEMBERED_S = 25 * 3600
# Events that wait for their work; above, the sender is asked to come back.
WAITING_MAX = 10_000
WORK_AGAIN_S = 10
READ_S = 10
# Longer than the sender keeps an idle connection, else it sees a reset now and then.
IDLE_S = 75

HEX = "[0-9a-f]{64}"
SIGNATURE = (re.compile(HEX), "64 lower-case hex digits")
# A sender signs with few secrets at once.
SIGNATURES = (re.compile(f"{HEX}(, ?{HEX}){{0,7}}"), "at most 8 times 64 lower-case hex digits, comma-separated")
TIMESTAMP = (re.compile("[0-9]{13}"), "Unix time in milliseconds, 13 digits")
ID = (re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "a UUID in lower case")
EVENT = (re.compile("[A-Za-z0-9_.:-]{1,128}"), "an event type")


class Refused(Exception):
    """What is answered instead of 200, and why: enough for the sender to find its mistake."""

    def __init__(self, status, reason, headers=()):
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers


def header(headers, name, form, required=True):
    """The one value of a header. Two are refused: who knows which of them others believe."""
    pattern, expected = form
    values = headers.get_all(name, [])
    if not values and not required:
        return ""
    if len(values) != 1:
        raise Refused(400, f"{name}: {len(values)} of it, expected one")
    if not pattern.fullmatch(values[0]):
        raise Refused(400, f"{name}: expected {expected}")
    return values[0]


def verify(secrets, headers, body, now_ms):
    """The id and type of an event that is what the sender signed, and just now. Raises Refused."""
    signatures = [header(headers, "X-Webhook-Signature", SIGNATURE)]
    signatures += header(headers, "X-Webhook-Signature-Also", SIGNATURES, required=False).replace(" ", "").split(",")
    timestamp = header(headers, "X-Webhook-Timestamp", TIMESTAMP)
    message_id, event = header(headers, "X-Webhook-Id", ID), header(headers, "X-Webhook-Event", EVENT)
    age_ms = now_ms - int(timestamp)
    if age_ms > PAST_S * 1000:
        raise Refused(401, f"X-Webhook-Timestamp: {age_ms / 1000:.0f} s old, at most {PAST_S} s")
    if -age_ms > FUTURE_S * 1000:
        raise Refused(401, f"X-Webhook-Timestamp: {-age_ms / 1000:.0f} s ahead, at most {FUTURE_S} s")
    for secret in secrets:
        expected = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        # In constant time: `==` tells by its time how much of a guess was right.
        if any(hmac.compare_digest(expected, signature) for signature in signatures):
            return message_id, event
    raise Refused(401, "X-Webhook-Signature: no secret known here gives it for this timestamp and body")


class Inbox:
    """Events that are kept until they are worked on, and the ids of those that were."""

    def __init__(self, root):
        self.part, self.new, self.done = (os.path.join(root, name) for name in ("part", "new", "done"))
        for directory in (self.part, self.new, self.done):
            os.makedirs(directory, mode=0o700, exist_ok=True)
        for name in os.listdir(self.part):  # What a crash cut off was never promised.
            os.unlink(os.path.join(self.part, name))
        self.wake = threading.Event()
        self.stopping = threading.Event()
        self.again = {}

    def keep(self, message_id, event, body):
        """On return the event is on disk: False when it was before. Raises Refused or OSError."""
        part, new, done = (os.path.join(directory, message_id) for directory in (self.part, self.new, self.done))
        try:
            file = open(part, "xb")  # Of all who try at once, one creates it.
        except FileExistsError:
            # Not 409: a 4xx is final to the sender, and the other request may still fail.
            raise Refused(429, "this id is being taken right now", [("Retry-After", "1")]) from None
        kept = False
        try:
            with file:
                if os.path.exists(new) or os.path.exists(done):
                    return False
                if len(os.listdir(self.new)) >= WAITING_MAX:
                    raise Refused(503, "too many events wait here", [("Retry-After", "10")])
                file.write(event.encode() + b"\n" + body)
                file.flush()
                os.fsync(file.fileno())
            os.rename(part, new)
            kept = True
            sync_directory(self.new)
        finally:
            if not kept:
                os.unlink(part)
        self.wake.set()
        return True

    def run(self):
        """Works on what waits, until it is told to stop."""
        next_look = 0
        while not self.stopping.is_set():
            self.wake.clear()
            try:
                self.work_on_all()
                if time.monotonic() >= next_look:
                    self.forget(time.time() - REMEMBERED_S)
                    next_look = time.monotonic() + 3600
            except OSError as problem:  # A disk that fails now may be back later.
                log(f"cannot read the inbox: {type(problem).__name__}")
            self.wake.wait(WORK_AGAIN_S)

    def work_on_all(self):
        for message_id in os.listdir(self.new):
            if self.stopping.is_set():
                return
            if time.monotonic() >= self.again.get(message_id, 0):
                self.work_on(message_id)

    def work_on(self, message_id):
        new, done = os.path.join(self.new, message_id), os.path.join(self.done, message_id)
        try:
            with open(new, "rb") as file:
                event, _, body = file.read().partition(b"\n")
            work(message_id, event.decode(), body)
            # Only now: an id that was marked before its work would hide that the work failed.
            os.rename(new, done)
            os.truncate(done, 0)
            self.again.pop(message_id, None)
        except Exception as problem:  # One event that fails must not stop the others.
            log(f"work failed id={message_id} again_in={WORK_AGAIN_S}s problem={type(problem).__name__}")
            self.again[message_id] = time.monotonic() + WORK_AGAIN_S

    def forget(self, before):
        for entry in os.scandir(self.done):
            if entry.stat().st_mtime < before:
                os.unlink(entry.path)


def sync_directory(path):
    """A new name in a directory outlives a power cut only after this."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    # Without this an answer in two pieces waits for the client's delayed acknowledgement.
    disable_nagle_algorithm = True

    def answer_to(self, method):
        """Every request comes through here."""
        begun = time.monotonic()
        with self.server.in_flight:
            note = ""
            try:
                status, text, headers, note = self.dispatch(method)
            except Refused as refused:
                status, text, headers = refused.status, refused.reason, refused.headers
            except OSError as problem:
                # The sender tries again: nothing was promised.
                status, text, headers = 503, "cannot keep it now", [("Retry-After", "5")]
                note = f" problem={type(problem).__name__}"
            log(f"{method} {status} {text!r}{note} {(time.monotonic() - begun) * 1000:.0f}ms")
            self.answer(status, text, headers)

    def dispatch(self, method):
        path = self.path.split("?")[0]
        # The body comes off the connection first, wanted or not: it stands before the next request.
        body = self.read_body()
        if path == "/health":
            allowed = ("GET", "HEAD")
        elif path == "/webhooks":
            allowed = ("POST",)
        else:
            raise Refused(404, "not here: POST /webhooks")
        if method not in allowed:
            raise Refused(405, "not with this method", [("Allow", ", ".join(allowed))])
        if path == "/health":
            return 200, "ok", (), ""
        # The raw bytes are what was signed. Nothing has parsed them, and nothing does before `work`.
        message_id, event = verify(self.server.secrets, self.headers, body, int(time.time() * 1000))
        kept = self.server.inbox.keep(message_id, event, body)
        return 200, "kept" if kept else "kept before", (), f" id={message_id}"

    def read_body(self):
        lengths = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers or len(lengths) > 1:
            self.close_connection = True
            raise Refused(411, "Content-Length: expected one, and no Transfer-Encoding")
        if lengths and not re.fullmatch("[0-9]{1,15}", lengths[0]):
            self.close_connection = True
            raise Refused(400, "Content-Length: expected a number")
        left = length = int(lengths[0]) if lengths else 0
        body, deadline = bytearray(), time.monotonic() + READ_S
        self.connection.settimeout(READ_S)
        while left:
            try:
                piece = self.rfile.read1(min(left, 64 * 1024))
            except OSError:
                piece = b""
            if not piece or time.monotonic() > deadline:
                self.close_connection = True
                raise Refused(408, "the body did not arrive")
            left -= len(piece)
            # What is too large is read and dropped: who is still writing does not see the answer.
            if length <= BODY_MAX:
                body += piece
        self.connection.settimeout(IDLE_S)
        if length > BODY_MAX:
            self.close_connection = True
            raise Refused(413, f"the body is over {BODY_MAX} bytes")
        return bytes(body)

    def answer(self, status, text, headers):
        content = text.encode() + b"\n"
        self.send_response_only(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers:
            self.send_header(name, value)
        if self.close_connection or self.server.in_flight.closed:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_arguments):
        """Not the library's lines: they hold what the client wrote."""


for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
    setattr(Handler, f"do_{_method}", lambda self, method=_method: self.answer_to(method))


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    # Five by default: a sixth sender that connects at the same moment would see a reset.
    request_queue_size = 128
    # Idle connections need no goodbye: their threads end with the process.
    daemon_threads = True
    block_on_close = False


class InFlight:
    """Counts the requests that are being answered, so that a shutdown can wait for them."""

    def __init__(self):
        self.count, self.closed, self.changed = 0, False, threading.Condition()

    def __enter__(self):
        with self.changed:
            self.count += 1

    def __exit__(self, *_problem):
        with self.changed:
            self.count -= 1
            self.changed.notify_all()

    def close(self, timeout):
        self.closed = True
        with self.changed:
            self.changed.wait_for(lambda: self.count == 0, timeout)


def log(line):
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), line, file=sys.stderr, flush=True)


def read_secrets():
    secrets = []
    for name in ("WEBHOOK_SECRET", "WEBHOOK_SECRET_NEXT"):
        secret = os.environ.get(name, "")
        if secret != secret.strip():
            sys.exit(f"{name}: white space around it, often the newline of a file; the sender signs without")
        if secret:
            secrets.append(secret.encode())
        elif name == "WEBHOOK_SECRET":
            sys.exit(f"{name}: expected the secret that is shared with the sender")
    return secrets


def main():
    secrets = read_secrets()
    address = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080")))
    server = Server(address, Handler)
    server.secrets, server.inbox, server.in_flight = secrets, Inbox(os.environ.get("INBOX", "inbox")), InFlight()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    print(f"listening on http://{address[0]}:{server.server_port}", flush=True)
    worker = threading.Thread(target=server.inbox.run)
    worker.start()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stop.wait()
    # No new connection; what is being answered is answered; the event in work is finished. The rest is on disk.
    server.shutdown()
    server.server_close()
    server.in_flight.close(READ_S)
    server.inbox.stopping.set()
    server.inbox.wake.set()
    worker.join()


def work(message_id, event, body):
    """Yours. Here the body may be parsed: `json.loads(body)`.

    It runs after the answer, one event at a time, and again after a failure (raise) or a crash: make it idempotent, with
    `message_id` as the key. It must not raise for what will never succeed: log that and return.
    """
    print(f"processed {message_id} {event}", flush=True)


if __name__ == "__main__":
    main()
