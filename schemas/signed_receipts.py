"""The file of a signed receipt. Pure.

It is one line of JSON whose last member is the signature. What is signed are the bytes of the file before
`,"signature":{…}}` and the newline, exactly as they are, behind the words `tollbook/receipt/1`: nobody has to agree with us on
how JSON is written, and every bit of the file is either signed or part of the signature's fixed form. So the file has to be
kept as it was received: what reformats it breaks the signature.
"""

import json
import re
from typing import Any

from schemas.notes import Keys, PublicKey, SigningKey

DOMAIN = b"tollbook/receipt/1\n"
MAX_BYTES = 4 << 20
_TAIL = re.compile(rb',"signature":\{"algorithm":"ed25519","key_id":"([0-9a-f]{8})","value":"([0-9a-f]{128})"\}\}\n\Z')
_TAIL_BYTES = 209


class ReceiptFileError(ValueError):
    """The file is not a receipt as it was signed: do not believe it."""


def seal_file(document: bytes, key: SigningKey) -> bytes:
    """The file: a JSON object on one line, signed. Raises ValueError for bytes that are no such object."""
    body = document.removesuffix(b"}")
    if b"\n" in document or body in {document, b"{"}:
        raise ValueError("a receipt is one JSON object on one line")
    value = key.sign(DOMAIN + body).hex()
    tail = f',"signature":{{"algorithm":"ed25519","key_id":"{key.public.id}","value":"{value}"}}}}\n'
    return body + tail.encode("ascii")


def open_file(file: bytes, keys: Keys) -> tuple[dict[str, Any], PublicKey]:
    """What the file says and the key that signed it. Raises ReceiptFileError unless a key signed every byte."""
    if len(file) > MAX_BYTES:
        raise ReceiptFileError(f"it is larger than {MAX_BYTES} bytes")
    tail = _TAIL.search(file, max(len(file) - _TAIL_BYTES, 0))
    if tail is None:
        raise ReceiptFileError("it does not end with a signature as Tollbook writes it; keep the file as it was received")
    key = keys.get(tail[1].decode())
    if key is None:
        raise ReceiptFileError(
            f"it is signed with key {tail[1].decode()}, which is not among the keys given ({', '.join(keys)})"
        )
    body = file[: tail.start()]
    if not key.verifies(bytes.fromhex(tail[2].decode()), DOMAIN + body):
        raise ReceiptFileError("the signature does not fit: the file is not as it was signed")
    try:
        document = json.loads(body + b"}", object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ReceiptFileError(f"it is signed but no JSON object ({type(error).__name__})") from error
    if not isinstance(document, dict):
        raise ReceiptFileError("it is signed but no JSON object")
    return document, key


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field comes twice")
    return found
