"""What the stories of all python clients share: the sandbox's control port, files to send, and how to insist."""

import base64
import hashlib
import io
import json
import logging
import re
import struct
import time
import urllib.error
import urllib.request
import zlib

PATIENCE = 20
ALICE = "+999661000001"
BOB = "+999662000002"


class Sandbox:
    """The control port of a sandbox."""

    def __init__(self, url):
        self.url = url.rstrip("/")
        config = self.ask("GET", "/config")
        self.rsa_public_key = re.search(r'rsa_public_key = """\n(.*?)\n"""', config, re.S).group(1)
        self.dc = int(re.search(r"^id = (\d+)$", config, re.M).group(1))
        self.host, port = re.search(r'^address = "(.*):(\d+)"$', config, re.M).groups()
        self.port = int(port)
        found = re.findall(r'^id = (\d+)\naddress = "(.*):(\d+)"$', config, re.M)
        self.centres = {int(dc): (host, int(port)) for dc, host, port in found}

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.read().decode()

    def code(self, phone):
        """The login code that was made for a number."""
        return self.ask("GET", "/codes/" + phone.removeprefix("+")).strip()

    def accept(self, phone, link):
        """Scans a QR code with the telephone of that number."""
        self.ask("POST", f"/users/{phone}/logins", {"token": link})

    def refusal(self, method, path, body=None):
        """The name under which it refuses."""
        try:
            self.ask(method, path, body)
        except urllib.error.HTTPError as error:
            return json.loads(error.read())["error"]
        raise AssertionError(f"{method} {path} was not refused")

    def logins(self, phone):
        return json.loads(self.ask("GET", f"/users/{phone}/logins"))["items"]

    def fault(self, **fault):
        self.ask("POST", "/faults", fault)


class Complaints(logging.Handler):
    """All that a client warns of."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.found = []

    def emit(self, record):
        self.found.append(f"{record.name}: {record.getMessage()}")

    def forgive(self, part):
        """A complaint that was to be expected."""
        self.found = [text for text in self.found if part not in text]


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def picture(width, height, shade):
    """A small PNG that is different for every shade."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(
        b"\0" + b"".join(bytes((shade, x % 256, y % 256)) for x in range(width)) for y in range(height)
    )
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def made_anew(found, data):
    """Whether a picture is that one as Telegram makes it anew: of other bytes, and with the same in it."""
    return found != data and found[:33] == data[:33] and found.endswith(data[33:])


def named(data, name):
    file = io.BytesIO(data)
    file.name = name
    return file


def public_key(pem):
    """Fingerprint, modulus and exponent of an RSA key in PKCS#1."""
    der = base64.b64decode("".join(line for line in pem.splitlines() if not line.startswith("-")))

    def element(at):
        length, at = der[at + 1], at + 2
        if length & 0x80:
            wide = length & 0x7F
            length, at = int.from_bytes(der[at : at + wide], "big"), at + wide
        return der[at : at + length], at, at + length

    _, at, _ = element(0)
    modulus, _, at = element(at)
    exponent, _, _ = element(at)

    def tl(number):
        number = number.lstrip(b"\0")
        head = bytes([len(number)]) if len(number) < 254 else b"\xfe" + len(number).to_bytes(3, "little")
        return (head + number).ljust((len(head) + len(number) + 3) // 4 * 4, b"\0")

    digest = hashlib.sha1(tl(modulus) + tl(exponent)).digest()
    fingerprint = int.from_bytes(digest[-8:], "little", signed=True)
    return fingerprint, int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big")
