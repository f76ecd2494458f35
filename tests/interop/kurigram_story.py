"""kurigram (a Pyrogram) against the sandbox: it checks no sequence of updates, so that it shows every push as it is.

Takes the URL of a sandbox's control port, and the transports of Alice and Bob; the sandbox's world is the example
one, in which both have accounts. Prints a line a chapter; exit code 0 only if every chapter held and kurigram found
nothing to complain of.
"""

import asyncio
import logging
import os
import sys
import tempfile
import time

from pyrogram import Client, enums, errors, handlers, types
from pyrogram.connection import Connection
from pyrogram.connection.transport import tcp
from pyrogram.crypto import rsa

from stage import ALICE, BOB, PATIENCE, Complaints, Sandbox, expect, made_anew, named, picture, public_key

TRANSPORTS = {
    "full": tcp.TCPFull,
    "abridged": tcp.TCPAbridged,
    "intermediate": tcp.TCPIntermediate,
    "padded": tcp.TCPIntermediatePadded,
    "abridged-obfuscated": tcp.TCPAbridgedO,
    "intermediate-obfuscated": tcp.TCPIntermediateO,
}


class Ear:
    """All that a client is told, kept until somebody asks for it."""

    def __init__(self, client):
        self.heard = []
        self.news = asyncio.Event()
        for kind in (
            handlers.MessageHandler,
            handlers.EditedMessageHandler,
            handlers.DeletedMessagesHandler,
            handlers.PollHandler,
        ):
            client.add_handler(kind(self._listener(kind.__name__.removesuffix("Handler"))))

    def _listener(self, name):
        async def hear(_, event):
            self.heard.append((name, event))
            self.news.set()

        return hear

    async def wait(self, name, known):
        """The first of that kind for which `known` is true; it is taken out."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for at, (kind, event) in enumerate(self.heard):
                if kind == name and known(event):
                    del self.heard[at]
                    return event
            self.news.clear()
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no such {name}; heard {[kind for kind, _ in self.heard]}")
            try:
                await asyncio.wait_for(self.news.wait(), left)
            except asyncio.TimeoutError:
                pass


class Story:
    def __init__(self, sandbox, transports, folder):
        self.sandbox = sandbox
        self.transports = dict(zip((ALICE, BOB), transports))
        self.folder = folder

    def client(self, phone):
        host, port = self.sandbox.host, self.sandbox.port

        class Here(Connection):
            """Every data centre is the sandbox."""

            def __init__(self, *arguments, **named):
                super().__init__(*arguments, **{**named, "server_address": host, "port": port})

        client = Client(
            "user" + phone.removeprefix("+"),
            api_id=1,
            api_hash="any",
            workdir=self.folder,
            connection_factory=Here,
            protocol_factory=TRANSPORTS[self.transports[phone]],
            skip_updates=False,
            fetch_topics=False,
            fetch_stories=False,
            workers=1,
        )
        return client, Ear(client)

    async def enter(self, phone):
        client, _ = self.client(phone)
        expect(not await client.connect(), "a new key is nobody's")
        sent = await client.send_code(phone)
        code = self.sandbox.code(phone)
        try:
            await client.sign_in(phone, sent.phone_code_hash, "00000" if code != "00000" else "11111")
            raise AssertionError("a wrong code was taken")
        except errors.PhoneCodeInvalid:
            pass
        await client.sign_in(phone, sent.phone_code_hash, code)
        await client.disconnect()
        return await self.come(phone)

    async def come(self, phone):
        """Starts a program whose account is logged in already."""
        client, ear = self.client(phone)
        await client.start()
        return client, ear

    async def login(self):
        self.alice, self.alice_ear = await self.enter(ALICE)
        self.bob, self.bob_ear = await self.enter(BOB)
        self.alice_id, self.bob_id = self.alice.me.id, self.bob.me.id
        for client, phone, name in ((self.alice, BOB, "Bob"), (self.bob, ALICE, "Alice")):
            found = await client.import_contacts([types.InputPhoneContact(phone, name)])
            expect(len(found.users) == 1, "the other is found by phone number")

    async def text(self):
        sent = await self.alice.send_message(self.bob_id, "Hello **Bob** 👩‍👩‍👧 and `code`")
        heard = await self.bob_ear.wait("Message", lambda it: it.text and "Hello" in it.text)
        expect(heard.text == sent.text, "the text arrived as it was sent")
        wanted = {enums.MessageEntityType.BOLD, enums.MessageEntityType.CODE}
        expect({it.type for it in heard.entities} == wanted, f"entities {heard.entities}")
        expect(heard.from_user.id == self.alice_id, "it is from Alice")
        await self.alice.edit_message_text(self.bob_id, sent.id, "Goodbye")
        await self.bob_ear.wait("EditedMessage", lambda it: it.text == "Goodbye" and it.id == heard.id)
        answer = await self.bob.send_message(
            self.alice_id, "an answer", reply_parameters=types.ReplyParameters(message_id=heard.id)
        )
        answered = await self.alice_ear.wait("Message", lambda it: it.text == "an answer")
        expect(answered.reply_to_message_id == sent.id, "replies count in each one's own numbers")
        await self.bob.delete_messages(self.alice_id, answer.id)
        gone = await self.alice_ear.wait("DeletedMessages", lambda it: any(one.id == answered.id for one in it))
        expect(len(gone) == 1, "one message was deleted")
        # Its page is pending at first, and comes as an update of its own.
        link = "see https://example.org/page"
        linked = await self.alice.send_message(self.bob_id, link)
        expect(linked.text == link, "a text with a link is sent")
        await self.bob_ear.wait("Message", lambda it: it.text == link)

    async def album(self):
        shades = (10, 90, 170)
        files = [types.InputMediaPhoto(named(picture(32, 32, it), f"{it}.png"), caption=str(it)) for it in shades]
        sent = await self.alice.send_media_group(self.bob_id, files)
        expect(len({it.media_group_id for it in sent}) == 1 and len(sent) == 3, "one album")
        for shade in shades:
            heard = await self.bob_ear.wait("Message", lambda it, shade=shade: it.caption == str(shade))
            data = await self.bob.download_media(heard, in_memory=True)
            expect(made_anew(bytes(data.getbuffer()), picture(32, 32, shade)), "each picture")

    async def document(self):
        data = os.urandom(150_000)
        await self.alice.send_document(self.bob_id, named(data, "random.bin"))
        heard = await self.bob_ear.wait("Message", lambda it: it.document is not None)
        expect(heard.document.file_size == len(data), "its size")
        found = await self.bob.download_media(heard, in_memory=True)
        expect(bytes(found.getbuffer()) == data, "byte for byte")

    async def group(self):
        made = await self.bob.create_supergroup("Workshop")
        await self.bob.add_chat_members(made.id, self.alice_id)
        asked = await self.bob.send_message(made.id, "Who is here?")
        heard = await self.alice_ear.wait("Message", lambda it: it.text == "Who is here?")
        expect(heard.id == asked.id and heard.chat.id == made.id, "one number for all")
        await self.alice.send_message(made.id, "I am")
        await self.bob_ear.wait("Message", lambda it: it.text == "I am")
        self.workshop = made.id

    async def reactions(self):
        asked = await self.bob.send_message(self.workshop, "Do you like it?")
        await self.alice_ear.wait("Message", lambda it: it.text == "Do you like it?")
        await self.alice.send_reaction(self.workshop, asked.id, "🔥")
        heard = await self.bob_ear.wait("EditedMessage", lambda it: it.id == asked.id)
        (found,) = heard.reactions.reactions
        expect(found.emoji == "🔥" and found.count == 1, f"which and how many: {found}")
        try:
            await self.alice.send_reaction(self.workshop, asked.id, "🧀")
            raise AssertionError("it takes anything for a reaction")
        except errors.ReactionInvalid:
            pass
        await self.alice.send_reaction(self.workshop, asked.id)
        heard = await self.bob_ear.wait("EditedMessage", lambda it: it.id == asked.id)
        expect(not heard.reactions, "taken back")

    async def pins(self):
        note = await self.bob.send_message(self.workshop, "Keep this")
        await self.bob.pin_chat_message(self.workshop, note.id)
        told = await self.alice_ear.wait("Message", lambda it: it.pinned_message is not None)
        expect(told.pinned_message.id == note.id, "it is told which was pinned")
        chat = await self.alice.get_chat(self.workshop)
        expect(chat.pinned_message.id == note.id, "the chat knows it")
        try:
            await self.alice.unpin_chat_message(self.workshop, note.id)
            raise AssertionError("a member unpinned what was pinned by those who run the group")
        except errors.ChatAdminRequired:
            pass
        await self.bob.unpin_all_chat_messages(self.workshop)
        chat = await self.alice.get_chat(self.workshop)
        expect(chat.pinned_message is None, "nothing is pinned any more")

    async def polls(self):
        options = [types.InputPollOption(text=it) for it in ("yes", "no")]
        asked = await self.bob.send_poll(self.workshop, "Tea?", options, is_anonymous=False)
        heard = await self.alice_ear.wait("Message", lambda it: it.poll is not None)
        expect(str(heard.poll.question.text) == "Tea?" and len(heard.poll.options) == 2, "what is asked")
        voted = await self.alice.vote_poll(self.workshop, heard.id, 1)
        expect([it.voter_count for it in voted.options] == [0, 1], "how it stands, after one has voted")
        told = await self.bob_ear.wait("Poll", lambda it: it.total_voter_count == 1)
        expect(not told.is_closed, "its author hears of it")
        ended = await self.bob.stop_poll(self.workshop, asked.id)
        expect(ended.is_closed, "it is over")
        try:
            await self.alice.vote_poll(self.workshop, heard.id, 0)
            raise AssertionError("a vote after the end was taken")
        except errors.MessagePollClosed:
            pass

    async def absence(self):
        """Bob's program ends, things happen, and it is started again."""
        await self.bob.stop()
        kept = await self.alice.send_message(self.bob_id, "to be changed")
        gone = await self.alice.send_message(self.bob_id, "never read")
        await self.alice.edit_message_text(self.bob_id, kept.id, "changed while away")
        await self.alice.delete_messages(self.bob_id, gone.id)
        await self.alice.send_message(self.workshop, "where is Bob?")
        self.bob, self.bob_ear = await self.come(BOB)
        await self.bob_ear.wait("Message", lambda it: it.text == "changed while away")
        await self.bob_ear.wait("Message", lambda it: it.text == "where is Bob?")
        texts = [it.text for kind, it in self.bob_ear.heard if kind == "Message"]
        expect("never read" not in texts, "what was deleted meanwhile stays away")
        await self.alice.send_message(self.bob_id, "live again")
        await self.bob_ear.wait("Message", lambda it: it.text == "live again")

    async def farewell(self):
        await self.bob.stop()
        await self.alice.log_out()

    async def tell(self):
        for chapter in (
            self.login, self.text, self.album, self.document, self.group, self.reactions, self.pins, self.polls,
            self.absence, self.farewell,
        ):  # fmt: skip
            began = time.monotonic()
            await asyncio.wait_for(chapter(), 120)
            print(f"{chapter.__name__}: held ({time.monotonic() - began:.2f} s)", flush=True)


def main():
    url, *transports = sys.argv[1:]
    sandbox = Sandbox(url)
    complaints = Complaints()
    logging.getLogger("pyrogram").addHandler(complaints)
    # That it runs without its optional native helper is no complaint about a server.
    logging.getLogger("pyrogram.crypto").propagate = False
    if os.environ.get("STORY_DEBUG"):
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    fingerprint, modulus, exponent = public_key(sandbox.rsa_public_key)
    rsa.server_public_keys[fingerprint] = rsa.PublicKey(modulus, exponent)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(Story(sandbox, transports, folder).tell())
    if complaints.found:
        print("kurigram complained:", *complaints.found, sep="\n  ", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
