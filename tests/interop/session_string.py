"""A session string goes from hand to hand: Telethon or kurigram uses the one it is given, and writes its own.

Takes the client's name and the server's address, and in the environment the server's RSA key (RSA_PUBLIC_KEY); then,
for Telethon, maybe a phone number to log in with instead. Reads the string, or the login code when it is asked for,
from standard input. Prints lines of JSON: {"asks": "code"}, and at the end {"user_id", "session"}.
"""

import asyncio
import json
import os
import sys


def say(**words):
    print(json.dumps(words), flush=True)


async def told():
    return (await asyncio.to_thread(sys.stdin.readline)).strip()


async def telethon(host, port, phone):
    from telethon import TelegramClient
    from telethon.crypto import rsa
    from telethon.sessions import StringSession

    if phone is None:
        session = StringSession(await told())
        assert (session.dc_id, session.server_address, session.port) == (2, host, port), "it leads elsewhere"
    else:
        rsa.add_key(os.environ["RSA_PUBLIC_KEY"], old=False)
        session = StringSession()
        session.set_dc(2, host, port)
    client = TelegramClient(session, 1, "any")
    await client.connect()
    if phone is not None:
        sent = await client.send_code_request(phone)
        say(asks="code")
        await client.sign_in(phone, await told(), phone_code_hash=sent.phone_code_hash)
    assert await client.is_user_authorized(), "nobody is logged in with it"
    me = await client.get_me()
    await client.send_message("me", "in other hands")
    written = client.session.save()
    await client.disconnect()
    say(user_id=me.id, session=written)


async def kurigram(host, port, _):
    from pyrogram import Client
    from pyrogram.connection import Connection

    class Here(Connection):
        """The string names a data centre; where that is the client would know for Telegram's own."""

        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **{**named, "server_address": host, "port": port})

    client = Client(
        "carried",
        api_id=1,
        api_hash="any",
        session_string=await told(),
        in_memory=True,
        connection_factory=Here,
        fetch_topics=False,
        fetch_stories=False,
        workers=1,
    )
    assert await client.connect(), "nobody is logged in with it"
    me = await client.get_me()
    await client.send_message("me", "in other hands")
    written = await client.export_session_string()
    await client.disconnect()
    say(user_id=me.id, session=written)


async def main():
    name, host, port = sys.argv[1:4]
    phone = sys.argv[4] if len(sys.argv) > 4 else None
    await {"telethon": telethon, "pyrogram": kurigram}[name](host, int(port), phone)


asyncio.run(main())
