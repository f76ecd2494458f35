"""Telethon as one more login of an account: it prints what it hears of messages, a JSON object a line.

Takes host and port of a sandbox's server, a file with its public key, a telephone number and its login code. Says
{"ready": true} once it listens, and ends with its standard input.
"""

import asyncio
import json
import logging
import sys

from telethon import TelegramClient, events
from telethon.crypto import rsa
from telethon.sessions import StringSession
from telethon.tl.types import MessageService


def say(**words):
    print(json.dumps(words), flush=True)


def known(kind):
    async def hear(event):
        if not isinstance(event.message, MessageService):
            say(kind=kind, chat=event.chat_id, id=event.message.id, text=event.message.raw_text)

    return hear


async def gone(event):
    say(kind="delete", channel=event.chat_id, ids=event.deleted_ids)


async def main():
    host, port, key_file, phone, code = sys.argv[1:6]
    # Standard output is for what it hears.
    logging.basicConfig(level=logging.ERROR)
    with open(key_file, encoding="ascii") as key:
        rsa.add_key(key.read(), old=False)
    session = StringSession()
    session.set_dc(2, host, int(port))
    client = TelegramClient(session, 1, "any", connection_retries=-1, retry_delay=0.1)
    await client.connect()
    sent = await client.send_code_request(phone)
    await client.sign_in(phone, code, phone_code_hash=sent.phone_code_hash)
    client.add_event_handler(known("new"), events.NewMessage())
    client.add_event_handler(known("edit"), events.MessageEdited())
    client.add_event_handler(gone, events.MessageDeleted())
    await client.catch_up()
    say(ready=True)
    await asyncio.to_thread(sys.stdin.read)
    await client.disconnect()


asyncio.run(main())
