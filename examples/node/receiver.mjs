// A backend that receives its agents' Telegram messages.
//
// It prints what arrives, never what is written in it. See ../README.md for the settings.

import { createHash, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

const PATH = /^\/api\/webhooks\/telegram\/(-?\d+)$/;
const LARGEST = 1 << 20; // bytes
const PASSED_OVER = 16 << 20; // bytes of a refused body that are still read
const REMEMBERED = 10_000; // ids

const bearer = setting("WEBHOOK_SECRET_TOKEN");
const signatures = new Webhook(setting("TRUNKLINE_SIGNING_SECRET"));
const seen = new Set();

const server = createServer(async (request, response) => {
    const status = await take(request).catch((error) => {
        if (error instanceof Refused) return error.status;
        console.error(error);
        return 500;
    });
    response.writeHead(status, { "content-length": "0" }).end();
});
server.requestTimeout = 15_000;
server.listen(Number(process.env.PORT ?? 8081), "127.0.0.1", () => {
    console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

class Refused extends Error {
    constructor(status) {
        super(`refused with ${status}`);
        this.status = status;
    }
}

async function take(request) {
    const path = PATH.exec(request.url);
    if (request.method !== "POST" || !path) throw new Refused(404);
    const body = await read(request);
    if (!same(request.headers.authorization ?? "", `Bearer ${bearer}`)) throw new Refused(401);
    const event = verified(body, request.headers);
    if (isNew(request.headers["webhook-id"])) handle(Number(path[1]), event);
    return 204;
}

async function read(request) {
    const parts = [];
    let size = 0;
    for await (const part of request) {
        size += part.length;
        if (size <= LARGEST) parts.push(part);
        // Who is still sending cannot hear an answer: the rest is read, within bounds.
        else if (size > PASSED_OVER) break;
    }
    if (size > LARGEST) throw new Refused(413);
    return Buffer.concat(parts).toString("utf8");
}

function verified(body, headers) {
    try {
        return signatures.verify(body, headers);
    } catch (error) {
        if (error instanceof WebhookVerificationError) throw new Refused(401);
        throw error;
    }
}

/** Whether two texts are the same, in a time that does not tell where they differ. */
function same(one, other) {
    const digest = (text) => createHash("sha256").update(text).digest();
    return timingSafeEqual(digest(one), digest(other));
}

/** Deliveries come at least once: a known id was acted on already. */
function isNew(id) {
    if (seen.has(id)) return false;
    seen.add(id);
    if (seen.size > REMEMBERED) seen.delete(seen.values().next().value);
    return true;
}

/** Here your own work begins: put it into a queue, and return. */
function handle(agent, event) {
    const about = event.message ? `message ${event.message.id}` : (event.reason ?? "");
    console.log(`agent ${agent}: ${event.event} ${about}`);
}

function setting(name) {
    const value = process.env[name];
    if (!value) {
        console.error(`set ${name}`);
        process.exit(1);
    }
    return value;
}
