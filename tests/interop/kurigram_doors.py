"""kurigram (a Pyrogram) gets in: by QR code and by phone code, with a password and without, in both data centres.

Takes the URL of the control port of a sandbox with two data centres and the example world. Prints a line a chapter;
exit code 0 only if every chapter held and kurigram found nothing to complain of.
"""

import asyncio
import logging
import os
import sys
import time

from pyrogram import Client, enums, errors, raw
from pyrogram.connection import Connection
from pyrogram.crypto import rsa
from pyrogram.qrlogin import QRLogin

from stage import ALICE, BOB, PATIENCE, Complaints, Sandbox, expect, public_key

PASSWORD = "گذرواژه, with 🔑"


class Story:
    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.made = 0

    async def client(self):
        centres = self.sandbox.centres

        class Here(Connection):
            """Every data centre is one of the sandbox's."""

            def __init__(self, *arguments, **named):
                host, port = centres[named["dc_id"]]
                super().__init__(*arguments, **{**named, "server_address": host, "port": port})

        self.made += 1
        client = Client(
            f"guest{self.made}",
            api_id=1,
            api_hash="any",
            in_memory=True,
            connection_factory=Here,
            fetch_topics=False,
            fetch_stories=False,
            workers=1,
        )
        expect(not await client.connect(), "a new key is nobody's")
        return client

    async def scan(self, client, phone):
        """Shows a QR code, which the telephone of that number scans while the client waits."""
        shown = QRLogin(client)
        await shown.recreate()
        waiting = asyncio.create_task(shown.wait(PATIENCE))
        await asyncio.sleep(0.2)
        self.sandbox.accept(phone, shown.url)
        return await waiting

    async def leave(self, client, phone, centre):
        """It is in as who it should be, and where; then it logs out."""
        me = await client.get_me()
        expect(me.phone_number == phone.removeprefix("+"), "it is in as somebody else")
        expect(await client.storage.dc_id() == centre, "it is in the other data centre")
        expect([it["dc"] for it in self.sandbox.logins(phone)] == [centre], "the sandbox says where")
        await client.invoke(raw.functions.auth.LogOut())
        await client.disconnect()
        expect(self.sandbox.logins(phone) == [], "and it is out")

    async def prove(self, client):
        """A wrong password, and then the right one."""
        expect(await client.get_password_hint() == "the usual", "the hint")
        try:
            await client.check_password("wrong")
            raise AssertionError("a wrong password was taken")
        except errors.PasswordHashInvalid:
            pass
        await client.check_password(PASSWORD)

    async def picture(self):
        client = await self.client()
        await self.scan(client, ALICE)
        await self.leave(client, ALICE, 2)

    async def password(self):
        self.sandbox.ask("PUT", f"/users/{ALICE}/password", {"password": PASSWORD, "hint": "the usual"})
        client = await self.client()
        try:
            await self.scan(client, ALICE)
            raise AssertionError("nobody asked for the password")
        except errors.SessionPasswordNeeded:
            pass
        await self.prove(client)
        await self.leave(client, ALICE, 2)

    async def code(self):
        self.sandbox.ask("PATCH", "/settings", {"resend_after": 0})
        client = await self.client()
        sent = await client.send_code(ALICE)
        expect(sent.type == enums.SentCodeType.SMS and sent.next_type == enums.NextCodeType.CALL, f"its ways: {sent}")
        sent = await client.resend_code(ALICE, sent.phone_code_hash)
        expect(sent.type == enums.SentCodeType.CALL and not sent.next_type, f"its ways: {sent}")
        try:
            await client.sign_in(ALICE, sent.phone_code_hash, self.sandbox.code(ALICE))
            raise AssertionError("nobody asked for the password")
        except errors.SessionPasswordNeeded:
            pass
        await self.prove(client)
        await self.leave(client, ALICE, 2)

    async def elsewhere(self):
        """Bob lives in the other data centre."""
        self.sandbox.ask("PUT", f"/users/{BOB}/home", {"dc": 4})
        client = await self.client()
        await self.scan(client, BOB)
        await self.leave(client, BOB, 4)
        self.sandbox.ask("PUT", f"/users/{BOB}/password", {"password": PASSWORD, "hint": "the usual"})
        client = await self.client()
        try:
            await self.scan(client, BOB)
            raise AssertionError("nobody asked for the password")
        except errors.SessionPasswordNeeded:
            pass
        await self.prove(client)
        await self.leave(client, BOB, 4)
        client = await self.client()
        sent = await client.send_code(BOB)
        try:
            await client.sign_in(BOB, sent.phone_code_hash, self.sandbox.code(BOB))
            raise AssertionError("nobody asked for the password")
        except errors.SessionPasswordNeeded:
            pass
        await self.prove(client)
        await self.leave(client, BOB, 4)

    async def tell(self):
        for chapter in (self.picture, self.password, self.code, self.elsewhere):
            began = time.monotonic()
            await asyncio.wait_for(chapter(), 120)
            print(f"{chapter.__name__}: held ({time.monotonic() - began:.2f} s)", flush=True)


def main():
    sandbox = Sandbox(sys.argv[1])
    complaints = Complaints()
    logging.getLogger("pyrogram").addHandler(complaints)
    # That it runs without its optional native helper is no complaint about a server.
    logging.getLogger("pyrogram.crypto").propagate = False
    if os.environ.get("STORY_DEBUG"):
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    fingerprint, modulus, exponent = public_key(sandbox.rsa_public_key)
    rsa.server_public_keys[fingerprint] = rsa.PublicKey(modulus, exponent)
    asyncio.run(Story(sandbox).tell())
    if complaints.found:
        print("kurigram complained:", *complaints.found, sep="\n  ", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
