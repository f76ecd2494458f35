"""A backend that receives its agents' Telegram messages.

It prints what arrives, never what is written in it. See ../README.md for the settings.
"""

import hmac
import os
import re
import sys
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

PATH = re.compile(r"/api/webhooks/telegram/(-?\d+)")
LARGEST = 1 << 20  # bytes
REMEMBERED = 10_000  # ids
PASSED_OVER = 16 << 20  # bytes of a refused body that are still read


class Receiver(BaseHTTPRequestHandler):
    """One request."""

    timeout = 15
    signatures: Webhook
    bearer: str
    seen: "OrderedDict[str, None]" = OrderedDict()

    def do_POST(self):
        length = self.headers.get("content-length", "")
        if not length.isdecimal():
            return self.answer(411)
        path = PATH.fullmatch(self.path)
        if path is None or int(length) > LARGEST:
            self.pass_over(int(length))
            return self.answer(404 if path is None else 413)
        # What is no UTF-8 is no JSON either, and fails its signature this way.
        body = self.rfile.read(int(length)).decode(errors="replace")
        try:
            self.check_bearer()
            event = self.signatures.verify(body, dict(self.headers.items()))
        except WebhookVerificationError:
            return self.answer(401)
        if self.is_new(self.headers["webhook-id"]):
            handle(int(path[1]), event)
        return self.answer(204)

    def pass_over(self, length):
        """Who is still sending cannot hear an answer: closing at once would reset the connection."""
        left = min(length, PASSED_OVER)
        while left > 0:
            read = len(self.rfile.read(min(left, 1 << 16)))
            if read == 0:
                return
            left -= read

    def check_bearer(self):
        given = self.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self.bearer}".encode()):
            raise WebhookVerificationError("another bearer token")

    def is_new(self, name):
        """Deliveries come at least once: a known id was acted on already."""
        if name in self.seen:
            return False
        self.seen[name] = None
        if len(self.seen) > REMEMBERED:
            self.seen.popitem(last=False)
        return True

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        """What is worth a line is printed by handle()."""


def handle(agent, event):
    """Here your own work begins: put it into a queue, and return."""
    message = event.get("message") or {}
    about = f"message {message['id']}" if message else event.get("reason", "")
    print(f"agent {agent}: {event['event']} {about}", flush=True)


def main():
    try:
        Receiver.bearer = os.environ["WEBHOOK_SECRET_TOKEN"]
        Receiver.signatures = Webhook(os.environ["TRUNKLINE_SIGNING_SECRET"])
    except KeyError as missing:
        sys.exit(f"set {missing.args[0]}")
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8081"))), Receiver)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
