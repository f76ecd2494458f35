"""The forwarding job as a Telethon script does it: each message is sent on, in order, and each send is awaited.

Arguments: a sandbox's control URL, a phone number, then source, destination, source, destination, …
It says "ready" when it listens.
"""

import asyncio
import re
import sys
import urllib.request

from telethon import TelegramClient, events
from telethon.crypto import rsa
from telethon.sessions import MemorySession


async def main():
    control, phone, *chats = sys.argv[1:]
    routes = dict(zip(map(int, chats[::2]), map(int, chats[1::2])))
    config = urllib.request.urlopen(control + "/config").read().decode()
    rsa.add_key(re.search(r'rsa_public_key = """\n(.*?)\n"""', config, re.S).group(1), old=False)
    host, port = re.search(r'^address = "(.*):(\d+)"$', config, re.M).groups()
    session = MemorySession()
    session.set_dc(int(re.search(r"^id = (\d+)$", config, re.M).group(1)), host, int(port))
    client = TelegramClient(session, 1, "sandbox", sequential_updates=True)
    await client.connect()
    await client.send_code_request(phone)
    await client.sign_in(phone, "11111")
    await client.get_dialogs()
    peers = {chat: await client.get_input_entity(chat) for chat in routes.values()}

    @client.on(events.NewMessage(chats=list(routes)))
    async def forward(event):
        await client.send_message(peers[routes[event.chat_id]], event.raw_text, link_preview=False)

    print("ready", flush=True)
    await client.run_until_disconnected()


asyncio.run(main())
