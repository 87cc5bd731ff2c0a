"""A witness on loopback that does what https://c2sp.org/tlog-witness says, and nothing of this project's own proofs."""

import asyncio
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from src.ledger.cosignatures import CosignerKey
from src.ledger.notes import VerifierKey
from src.ledger.witness_task import WitnessTask

NAME = "witness.example.org/w1"


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def is_consistent(old: int, new: int, old_root: bytes, new_root: bytes, proof: list[bytes]) -> bool:
    """RFC 9162, 2.1.4.2."""
    if old == new:
        return not proof and old_root == new_root
    path = [old_root, *proof] if old & (old - 1) == 0 else proof
    if not path:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for each in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first, second = node(each, first), node(each, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node(second, each)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old_root and second == new_root


class WitnessServer:
    """What it has signed of one log. `answers` are given instead, one to each request, while there are any."""

    def __init__(self, log: VerifierKey, *, mldsa: bool = False) -> None:
        self._log = log
        self._key = MLDSA44PrivateKey.generate() if mldsa else Ed25519PrivateKey.generate()
        self.key = CosignerKey(NAME, self._key.public_key().public_bytes_raw(), 6 if mldsa else 4)
        self.size, self.root = 0, sha256().digest()
        self.statuses: list[int] = []
        self.answers: list[tuple[int, bytes]] = []
        self.url = ""

    @property
    def setting(self) -> str:
        """Its place in LEDGER_WITNESSES."""
        return f"{self.url} {self.key}"

    def add_checkpoint(self, body: bytes) -> tuple[int, bytes]:
        if self.answers:
            return self.answers.pop(0)
        head, text, signatures = body.decode().split("\n\n")
        old, proof = int(head.split("\n")[0].removeprefix("old ")), [b64decode(line) for line in head.split("\n")[1:]]
        origin, size_line, root_line = text.split("\n")
        if origin != self._log.name:
            return 404, b""
        signed = b64decode(signatures.split("\n")[0].split(" ")[2])
        Ed25519PublicKey.from_public_bytes(self._log.public).verify(signed[4:], f"{text}\n".encode())
        size, root = int(size_line), b64decode(root_line)
        if old > size:
            return 400, b""
        if old != self.size or (old == size and root != self.root):
            return 409, f"{self.size}\n".encode()
        if old and not is_consistent(old, size, self.root, root, proof):
            return 422, b""
        self.size, self.root = size, root
        return 200, self.sign(f"{text}\n")

    def sign(self, text: str) -> bytes:
        now = int(time.time())
        message = f"cosignature/v1\ntime {now}\n{text}".encode()
        if self.key.kind == 6:
            origin, size, root = text.split("\n")[:3]
            names = [bytes([len(name)]) + name.encode() for name in (NAME, origin)]
            subtree = bytes(8) + int(size).to_bytes(8) + b64decode(root)
            message = b"subtree/v1\n\0" + names[0] + now.to_bytes(8) + names[1] + subtree
        signature = self._key.sign(message)
        encoded = b64encode(self.key.id + now.to_bytes(8) + signature).decode()
        return f"\u2014 {NAME} {encoded}\n".encode()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("post /add-checkpoint ")
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        status, body = self.add_checkpoint(await reader.readexactly(length))
        self.statuses.append(status)
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def run_witness(log: VerifierKey, *, mldsa: bool = False) -> AsyncIterator[WitnessServer]:
    witness = WitnessServer(log, mldsa=mldsa)
    server = await asyncio.start_server(witness.answer, "127.0.0.1", 0)
    witness.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield witness
    server.close()
    await server.wait_closed()


async def ask_all(task: WitnessTask) -> None:
    """Ask each witness that has not signed the latest checkpoint, and wait for the answers."""
    await asyncio.gather(*await task.ask())
