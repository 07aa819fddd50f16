// A receiver of Gatepost's webhooks, complete, with nothing but Node.js 18.3 or newer and its own modules.
//
//     WEBHOOK_SECRET=... PORT=8080 node receiver.mjs
//
// It takes POSTs at /webhooks and answers /health. Make it yours in `work`, at the end of this file.
//
// A 2xx is a promise, for the sender forgets the event then. So an event is on disk before the answer leaves, and is
// worked on after it: the answer is quick however long the work takes, and a crash loses nothing. The directory is queue
// and memory in one: `new/<id>` waits for its work, `done/<id>` is an id that had it. Where you have a database, a table
// with the id as its primary key does the same, for many instances of this at once.
//
// Environment: WEBHOOK_SECRET; WEBHOOK_SECRET_NEXT, accepted too, while the secret is changed; HOST and PORT (127.0.0.1
// and 8080; port 0 is any free one); INBOX, the directory (./inbox), for one process alone.

import { createHmac, timingSafeEqual } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, open, readFile, readdir, rename, stat, truncate, unlink } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'

const PAST_MS = 300_000
const FUTURE_MS = 30_000
const BODY_MAX = 1024 * 1024
// Ids are remembered for longer than the sender keeps trying: its `max_age`, a day, and an hour.
const REMEMBERED_MS = 25 * 3600_000
// Events that wait for their work; above, the sender is asked to come back.
const WAITING_MAX = 10_000
const WORK_AGAIN_MS = 10_000
const READ_MS = 10_000
// Longer than the sender keeps an idle connection, else it sees a reset now and then. Node's own 5 s are too few.
const IDLE_MS = 75_000

const SIGNATURE = { pattern: /^[0-9a-f]{64}$/, expected: '64 lower-case hex digits' }
// A sender signs with few secrets at once.
const SIGNATURES = {
  pattern: /^[0-9a-f]{64}(, ?[0-9a-f]{64}){0,7}$/,
  expected: 'at most 8 times 64 lower-case hex digits, comma-separated',
}
const TIMESTAMP = { pattern: /^[0-9]{13}$/, expected: 'Unix time in milliseconds, 13 digits' }
const ID = { pattern: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, expected: 'a UUID in lower case' }
const EVENT = { pattern: /^[A-Za-z0-9_.:-]{1,128}$/, expected: 'an event type' }

/** What is answered instead of 200, and why: enough for the sender to find its mistake. */
class Refused extends Error {
  constructor(status, reason, headers = {}) {
    super(reason)
    this.status = status
    this.headers = headers
  }
}

/** The one value of a header. Two are refused: who knows which of them others believe. */
function header(request, name, { pattern, expected }, required = true) {
  // Not `headers`, which drops or joins what comes twice.
  const values = request.headersDistinct[name.toLowerCase()] ?? []
  if (values.length === 0 && !required) return ''
  if (values.length !== 1) throw new Refused(400, `${name}: ${values.length} of it, expected one`)
  if (!pattern.test(values[0])) throw new Refused(400, `${name}: expected ${expected}`)
  return values[0]
}

/** The id and type of an event that is what the sender signed, and just now. Throws Refused. */
function verify(secrets, request, body, nowMs) {
  const also = header(request, 'X-Webhook-Signature-Also', SIGNATURES, false)
  const signatures = [header(request, 'X-Webhook-Signature', SIGNATURE), ...(also ? also.split(/, ?/) : [])]
  const timestamp = header(request, 'X-Webhook-Timestamp', TIMESTAMP)
  const id = header(request, 'X-Webhook-Id', ID)
  const event = header(request, 'X-Webhook-Event', EVENT)
  const ageMs = nowMs - Number(timestamp)
  const age = Math.round(Math.abs(ageMs) / 1000)
  if (ageMs > PAST_MS) throw new Refused(401, `X-Webhook-Timestamp: ${age} s old, at most ${PAST_MS / 1000} s`)
  if (-ageMs > FUTURE_MS) throw new Refused(401, `X-Webhook-Timestamp: ${age} s ahead, at most ${FUTURE_MS / 1000} s`)
  for (const secret of secrets) {
    const expected = createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest()
    // In constant time: `===` tells by its time how much of a guess was right.
    if (signatures.some((signature) => timingSafeEqual(expected, Buffer.from(signature, 'hex')))) return { id, event }
  }
  throw new Refused(401, 'X-Webhook-Signature: no secret known here gives it for this timestamp and body')
}

/** Events that are kept until they are worked on, and the ids of those that were. */
class Inbox {
  stopping = false
  #again = new Map()
  #wake = () => {}

  static async open(root) {
    const inbox = new Inbox()
    inbox.part = join(root, 'part')
    inbox.new = join(root, 'new')
    inbox.done = join(root, 'done')
    for (const directory of [inbox.part, inbox.new, inbox.done]) await mkdir(directory, { recursive: true, mode: 0o700 })
    // What a crash cut off was never promised.
    for (const name of await readdir(inbox.part)) await unlink(join(inbox.part, name))
    return inbox
  }

  /** Once it resolves the event is on disk: to false when it was before. Throws Refused, or what the disk says. */
  async keep(id, event, body) {
    const part = join(this.part, id)
    // Of all who try at once, one creates it.
    const file = await open(part, 'wx').catch((problem) => {
      // Not 409: a 4xx is final to the sender, and the other request may still fail.
      const busy = new Refused(429, 'this id is being taken right now', { 'retry-after': '1' })
      throw problem.code === 'EEXIST' ? busy : problem
    })
    let kept = false
    try {
      try {
        if (existsSync(join(this.new, id)) || existsSync(join(this.done, id))) return false
        if ((await readdir(this.new)).length >= WAITING_MAX) {
          throw new Refused(503, 'too many events wait here', { 'retry-after': '10' })
        }
        await file.writeFile(Buffer.concat([Buffer.from(`${event}\n`), body]))
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(part, join(this.new, id))
      kept = true
      await syncDirectory(this.new)
    } finally {
      if (!kept) await unlink(part)
    }
    this.wake()
    return true
  }

  wake() {
    this.#wake()
  }

  /** Works on what waits, until it is told to stop. */
  async run() {
    let nextLook = 0
    while (!this.stopping) {
      const woken = new Promise((resolve) => (this.#wake = resolve))
      try {
        await this.#workOnAll()
        if (Date.now() >= nextLook) {
          await this.#forget(Date.now() - REMEMBERED_MS)
          nextLook = Date.now() + 3600_000
        }
      } catch (problem) {
        // A disk that fails now may be back later.
        log(`cannot read the inbox: ${problem.code ?? problem.name}`)
      }
      const timer = setTimeout(this.#wake, WORK_AGAIN_MS)
      await woken
      clearTimeout(timer)
    }
  }

  async #workOnAll() {
    for (const id of await readdir(this.new)) {
      if (this.stopping) return
      if (Date.now() >= (this.#again.get(id) ?? 0)) await this.#workOn(id)
    }
  }

  async #workOn(id) {
    try {
      const content = await readFile(join(this.new, id))
      const end = content.indexOf('\n')
      await work(id, content.toString('latin1', 0, end), content.subarray(end + 1))
      // Only now: an id that was marked before its work would hide that the work failed.
      await rename(join(this.new, id), join(this.done, id))
      await truncate(join(this.done, id))
      this.#again.delete(id)
    } catch (problem) {
      // One event that fails must not stop the others.
      log(`work failed id=${id} again_in=${WORK_AGAIN_MS / 1000}s problem=${problem.code ?? problem.name}`)
      this.#again.set(id, Date.now() + WORK_AGAIN_MS)
    }
  }

  async #forget(before) {
    for (const id of await readdir(this.done)) {
      const path = join(this.done, id)
      if ((await stat(path)).mtimeMs < before) await unlink(path)
    }
  }
}

/** A new name in a directory outlives a power cut only after this. */
async function syncDirectory(path) {
  const directory = await open(path)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** The raw bytes, as they were signed: nothing has parsed them, and nothing does before `work`. */
async function readBody(request) {
  const pieces = []
  let length = 0
  for await (const piece of request) {
    length += piece.length
    // What is too large is read and dropped: who is still writing does not see the answer.
    if (length <= BODY_MAX) pieces.push(piece)
  }
  if (length > BODY_MAX) throw new Refused(413, `the body is over ${BODY_MAX} bytes`)
  return Buffer.concat(pieces)
}

async function dispatch(request, secrets, inbox) {
  const path = request.url.split('?')[0]
  const body = await readBody(request)
  const allowed = { '/health': ['GET', 'HEAD'], '/webhooks': ['POST'] }[path]
  if (!allowed) throw new Refused(404, 'not here: POST /webhooks')
  if (!allowed.includes(request.method)) throw new Refused(405, 'not with this method', { allow: allowed.join(', ') })
  if (path === '/health') return { text: 'ok', note: '' }
  const { id, event } = verify(secrets, request, body, Date.now())
  return { text: (await inbox.keep(id, event, body)) ? 'kept' : 'kept before', note: ` id=${id}` }
}

async function answer(request, response, secrets, inbox) {
  const begun = performance.now()
  let status = 200
  let headers = {}
  let text
  let note = ''
  try {
    ;({ text, note } = await dispatch(request, secrets, inbox))
  } catch (problem) {
    // The client left, or was too slow: nobody is there to be answered.
    if (problem.code === 'ECONNRESET') return log(`${request.method} left`)
    if (problem instanceof Refused) {
      ;({ status, message: text, headers } = problem)
    } else {
      // The sender tries again: nothing was promised.
      status = 503
      text = 'cannot keep it now'
      headers = { 'retry-after': '5' }
      note = ` problem=${problem.code ?? problem.name}`
    }
  }
  log(`${request.method} ${status} '${text}'${note} ${Math.round(performance.now() - begun)}ms`)
  if (status === 413 || inbox.stopping) headers = { ...headers, connection: 'close' }
  const content = `${text}\n`
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(content),
    ...headers,
  })
  response.end(content)
}

function log(line) {
  console.error(new Date().toISOString(), line)
}

function readSecrets() {
  const secrets = []
  for (const name of ['WEBHOOK_SECRET', 'WEBHOOK_SECRET_NEXT']) {
    const secret = process.env[name] ?? ''
    if (secret !== secret.trim()) {
      fail(`${name}: white space around it, often the newline of a file; the sender signs without`)
    }
    if (secret) secrets.push(secret)
    else if (name === 'WEBHOOK_SECRET') fail(`${name}: expected the secret that is shared with the sender`)
  }
  return secrets
}

function fail(problem) {
  console.error(problem)
  process.exit(1)
}

async function main() {
  const secrets = readSecrets()
  const inbox = await Inbox.open(process.env.INBOX ?? 'inbox')
  const server = createServer(
    {
      keepAliveTimeout: IDLE_MS,
      headersTimeout: READ_MS,
      requestTimeout: READ_MS,
      connectionsCheckingInterval: 1000,
    },
    (request, response) => void answer(request, response, secrets, inbox),
  )
  const host = process.env.HOST ?? '127.0.0.1'
  await new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(Number(process.env.PORT ?? '8080'), host, resolve)
  })
  console.log(`listening on http://${host}:${server.address().port}`)
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.once(signal, () => {
      // No new connection; what is being answered is answered; the event in work is finished. The rest is on disk.
      inbox.stopping = true
      inbox.wake()
      server.close()
      server.closeIdleConnections()
    })
  }
  await inbox.run()
}

/**
 * Yours. Here the body, a Buffer, may be parsed: `JSON.parse(body)`.
 *
 * It runs after the answer, one event at a time, and again after a failure (throw) or a crash: make it idempotent, with
 * the id as the key. It must not throw for what will never succeed: log that and return.
 */
async function work(id, event, body) {
  console.log(`processed ${id} ${event}`)
}

main().catch((problem) => fail(problem.message))
