// Verifies and signs webhooks with libraries that other people published: each is called as its README says. The lines
// on stdin and stdout are those of ../python/verifier.py.

import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import * as octokit from "@octokit/webhooks-methods";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
import Stripe from "stripe";

const TOLERANCE_S = 300;

/** By what is written here, where no library says so. */
class Refused extends Error {}

/** Standard Webhooks, `v1`: HMAC. */
const standard = {
  name: "standardwebhooks",
  scheme: "standard",
  refusal: WebhookVerificationError,
  verify(secret, headers, body) {
    new Webhook(secret).verify(body, headers);
  },
  sign(secret, id, timestamp, body) {
    const signature = new Webhook(secret).sign(id, new Date(timestamp * 1000), body);
    return { "webhook-id": id, "webhook-timestamp": String(timestamp), "webhook-signature": signature };
  },
};

/** Standard Webhooks, `v1a`: the headers are read here, as the specification says; only Ed25519 is OpenSSL's. */
const standardAsymmetric = {
  name: "node:crypto",
  scheme: "standard-v1a",
  refusal: Refused,
  verify(secret, headers, body) {
    const raw = keyBytes(secret, "whpk_");
    const key = createPublicKey({ key: Buffer.concat([SPKI, raw]), format: "der", type: "spki" });
    const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": entries } = headers;
    if (!id || !/^\d+$/.test(timestamp) || !entries) throw new Refused("headers");
    if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_S) throw new Refused("too old or too new");
    const signatures = entries.split(" ").filter((entry) => entry.startsWith("v1a,")).map((entry) => entry.slice(4));
    const message = signed(id, timestamp, body);
    if (!signatures.some((signature) => verify(null, message, key, Buffer.from(signature, "base64")))) {
      throw new Refused("no matching signature");
    }
  },
  sign(secret, id, timestamp, body) {
    // A seed, or a seed and its public key.
    const seed = keyBytes(secret, "whsk_").subarray(0, 32);
    const key = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: "der", type: "pkcs8" });
    const signature = sign(null, signed(id, timestamp, body), key).toString("base64");
    return { "webhook-id": id, "webhook-timestamp": String(timestamp), "webhook-signature": `v1a,${signature}` };
  },
};

/** What stands before the 32 bytes of a key of Ed25519 in DER (RFC 8410). */
const SPKI = Buffer.from("302a300506032b6570032100", "hex");
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");

function keyBytes(text, prefix) {
  if (!text.startsWith(prefix)) throw new Error(`expected a key that begins with ${prefix}`);
  return Buffer.from(text.slice(prefix.length), "base64");
}

function signed(id, timestamp, body) {
  return Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
}

const github = {
  name: "@octokit/webhooks-methods",
  scheme: "github",
  // It says false.
  refusal: undefined,
  verify(secret, headers, body) {
    return octokit.verify(secret, body.toString(), headers["x-hub-signature-256"]);
  },
  async sign(secret, id, _timestamp, body) {
    const signature = await octokit.sign(secret, body.toString());
    return { "x-github-delivery": id, "x-hub-signature-256": signature };
  },
};

const stripe = {
  name: "stripe",
  scheme: "stripe",
  refusal: Stripe.errors.StripeSignatureVerificationError,
  verify(secret, headers, body) {
    Stripe.webhooks.constructEvent(body, headers["stripe-signature"], secret);
  },
  sign(secret, _id, timestamp, body) {
    return { "stripe-signature": Stripe.webhooks.generateTestHeaderString({ payload: body.toString(), secret, timestamp }) };
  },
};

const LIBRARIES = [standard, standardAsymmetric, github, stripe];

/** The version that was installed; Node.js's own for what comes with it. */
function version(name) {
  if (name.startsWith("node:")) return process.version.slice(1);
  return JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version;
}

async function answer(question) {
  const { scheme, secret } = question;
  const library = LIBRARIES.find((each) => each.name === question.library && each.scheme === scheme);
  const body = Buffer.from(question.body, "base64");
  if (question.do === "sign") {
    return { headers: await library.sign(secret, question.id, question.timestamp, body) };
  }
  try {
    const isGood = (await library.verify(secret, question.headers, body)) !== false;
    return isGood ? { ok: true } : { ok: false, error: "false" };
  } catch (error) {
    if (library.refusal === undefined || !(error instanceof library.refusal)) throw error;
    return { ok: false, error: `${error.name}: ${error.message}` };
  }
}

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

say({ libraries: LIBRARIES.map(({ name, scheme }) => ({ name, version: version(name), scheme })) });
for await (const line of createInterface({ input: process.stdin })) {
  say(await answer(JSON.parse(line)));
}
