#!/usr/bin/env python3
"""Verifies and signs webhooks with libraries that other people published: each is called as its README says.

The first line on stdout names the libraries, {"libraries": [{"name", "version", "scheme"}, ..]}. Then each line on stdin
is one question, and each line on stdout its answer:

    {"do": "verify", "library", "scheme", "secret", "headers": {name in lower case: value}, "body": base64}
    -> {"ok": true} | {"ok": false, "error": what the library says}
    {"do": "sign", "library", "scheme", "secret", "id", "timestamp": Unix seconds, "body": base64}
    -> {"headers": {..}}

A library's refusal is an answer. Whatever else goes wrong is a mistake of the question: it ends the program.
"""

import base64
import json
import sys
import time
from datetime import datetime, timezone
from importlib.metadata import version

import stripe
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook, WebhookVerificationError

TOLERANCE_S = 300


class Refused(Exception):
    """By what is written here, where no library says so."""


class Standard:
    """Standard Webhooks, `v1`: HMAC."""

    name, scheme, refusals = "standardwebhooks", "standard", WebhookVerificationError

    def verify(self, secret, headers, body):
        Webhook(secret).verify(body, headers)

    def sign(self, secret, id, timestamp, body):
        at = datetime.fromtimestamp(timestamp, timezone.utc)
        signature = Webhook(secret).sign(msg_id=id, timestamp=at, data=body.decode())
        return {"webhook-id": id, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


class StandardAsymmetric:
    """Standard Webhooks, `v1a`: the headers are read here, as the specification says; only Ed25519 is libsodium's."""

    name, scheme, refusals = "PyNaCl", "standard-v1a", Refused

    def verify(self, secret, headers, body):
        key = VerifyKey(key_bytes(secret, "whpk_"))
        try:
            id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
            entries = [entry.split(",", 1) for entry in headers["webhook-signature"].split(" ")]
            signatures = [base64.b64decode(value, validate=True) for version, value in entries if version == "v1a"]
            age_s = time.time() - int(timestamp)
        except (KeyError, ValueError) as problem:
            raise Refused(f"headers: {problem!r}") from problem
        if abs(age_s) > TOLERANCE_S:
            raise Refused(f"{age_s:.0f} s old")
        if not any(is_signature(signature, key, signed(id, timestamp, body)) for signature in signatures):
            raise Refused("no matching signature")

    def sign(self, secret, id, timestamp, body):
        # A seed, or a seed and its public key.
        key = SigningKey(key_bytes(secret, "whsk_")[:32])
        signature = base64.b64encode(key.sign(signed(id, timestamp, body)).signature).decode()
        return {"webhook-id": id, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1a,{signature}"}


def key_bytes(text, prefix):
    if not text.startswith(prefix):
        sys.exit(f"expected a key that begins with {prefix}")
    return base64.b64decode(text[len(prefix) :], validate=True)


def signed(id, timestamp, body):
    return f"{id}.{timestamp}.".encode() + body


def is_signature(signature, key, message):
    try:
        key.verify(message, signature)
        return True
    except (BadSignatureError, ValueError):
        return False


class Slack:
    name, scheme, refusals = "slack_sdk", "slack", ()

    def verify(self, secret, headers, body):
        return SignatureVerifier(secret).is_valid_request(body, headers)

    def sign(self, secret, id, timestamp, body):
        signature = SignatureVerifier(secret).generate_signature(timestamp=str(timestamp), body=body)
        return {"x-slack-request-timestamp": str(timestamp), "x-slack-signature": signature}


class Stripe:
    name, scheme, refusals = "stripe", "stripe", stripe.SignatureVerificationError

    def verify(self, secret, headers, body):
        stripe.Webhook.construct_event(body, headers.get("stripe-signature"), secret)

    def sign(self, secret, id, timestamp, body):
        header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, timestamp)
        return {"stripe-signature": header}


LIBRARIES = [Standard(), StandardAsymmetric(), Slack(), Stripe()]


def answer(question):
    wanted = (question["library"], question["scheme"])
    library = next(library for library in LIBRARIES if (library.name, library.scheme) == wanted)
    body = base64.b64decode(question["body"], validate=True)
    if question["do"] == "sign":
        return {"headers": library.sign(question["secret"], question["id"], question["timestamp"], body)}
    try:
        # Most raise; some say False.
        is_good = library.verify(question["secret"], question["headers"], body) is not False
    except library.refusals as refusal:
        return {"ok": False, "error": f"{type(refusal).__name__}: {refusal}"}
    return {"ok": True} if is_good else {"ok": False, "error": "False"}


def main():
    known = [{"name": each.name, "version": version(each.name), "scheme": each.scheme} for each in LIBRARIES]
    print(json.dumps({"libraries": known}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
