"""Records of MCAP files, https://mcap.dev/spec: magic bytes, numbers of the kinds, fields from bytes and back."""

from __future__ import annotations

import struct
from collections.abc import Mapping

MAGIC = b"\x89MCAP0\r\n"
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
MESSAGE_INDEX, CHUNK_INDEX, ATTACHMENT, ATTACHMENT_INDEX, STATISTICS = 0x07, 0x08, 0x09, 0x0A, 0x0B
METADATA, METADATA_INDEX, SUMMARY_OFFSET, DATA_END = 0x0C, 0x0D, 0x0E, 0x0F
FIRST_PRIVATE = 0x80
"""Numbers below that are none of the above belong to no version of the format."""

PREFIX = struct.Struct("<BQ")
"""Kind and length of the content that follows."""
MESSAGE_PREFIX = struct.Struct("<HIQQ")
"""Channel, sequence, log time, publish time; the message follows."""


class RecordError(Exception):
    """A record does not hold what its kind should."""


class Fields:
    """Reads the fields of a record one after the other; RecordError where it is too short."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def numbers(self, form: str) -> tuple[int, ...]:
        """Numbers in the form of `struct`, little endian."""
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        taken = self._content[self._at : self._at + size]
        if len(taken) < size:
            raise RecordError(f"a field of {size} bytes has only {len(taken)}")
        self._at += size
        return taken

    def block(self) -> bytes:
        """Bytes after their length."""
        return self.take(self.numbers("I")[0])

    def text(self) -> str:
        """A string after its length."""
        try:
            return self.block().decode()
        except UnicodeDecodeError as error:
            raise RecordError(f"a name is no UTF-8: {error}") from None

    def mapping(self) -> dict[str, str]:
        """Names and values, both strings, after their length."""
        fields, found = Fields(self.block()), {}
        while fields._at < len(fields._content):
            name = fields.text()
            found[name] = fields.text()
        return found


def record(kind: int, *parts: bytes | bytearray | memoryview) -> bytes:
    """A whole record."""
    return b"".join((PREFIX.pack(kind, sum(map(len, parts))), *parts))


def block(content: bytes) -> bytes:
    """Bytes after their length."""
    return struct.pack("<I", len(content)) + content


def text(value: str) -> bytes:
    """A string after its length."""
    return block(value.encode())


def mapping(values: Mapping[str, str]) -> bytes:
    """Names and values after their length."""
    return block(b"".join(text(name) + text(value) for name, value in values.items()))
