"""The file of a signed receipt: exactly as it was signed, or not believed."""

import json

import pytest

from schemas.notes import SigningKey
from schemas.signed_receipts import DOMAIN, ReceiptFileError, open_file, seal_file

KEY = SigningKey("33" * 32)
KEYS = {KEY.public.id: KEY.public}
DOCUMENT = b'{"object":"signed_receipt","receipt":{"tags":{"a":"\xc3\xa9"},"latency_ms":1.50},"seal":null}'


def test_a_file_is_json_and_is_read_back() -> None:
    file = seal_file(DOCUMENT, KEY)
    assert json.loads(file).keys() == {"object", "receipt", "seal", "signature"}
    assert open_file(file, KEYS) == (json.loads(DOCUMENT), KEY.public)


def test_no_file_with_one_bit_flipped_is_believed() -> None:
    file = seal_file(DOCUMENT, KEY)
    believed = []
    for bit in range(8 * len(file)):
        bent = bytearray(file)
        bent[bit // 8] ^= 1 << bit % 8
        try:
            open_file(bytes(bent), KEYS)
        except ReceiptFileError:
            continue
        believed.append(bit)
    assert believed == []


def test_a_file_that_was_reformatted_cut_or_extended_is_not_believed() -> None:
    file = seal_file(DOCUMENT, KEY)
    forms = (json.dumps(json.loads(file)).encode(), json.dumps(json.loads(file), indent=1).encode(), b" " + file, file + b"\n")
    for bent in (*forms, file[:-1], file[1:], b"", b"{}", file + file, file.replace(b"\xc3\xa9", b"\\u00e9")):
        with pytest.raises(ReceiptFileError):
            open_file(bent, KEYS)


def test_a_file_of_another_key_is_not_believed() -> None:
    other = SigningKey("44" * 32)
    with pytest.raises(ReceiptFileError, match=other.public.id):
        open_file(seal_file(DOCUMENT, other), KEYS)
    with pytest.raises(ReceiptFileError, match="does not fit"):
        open_file(seal_file(DOCUMENT, other), {other.public.id: KEY.public})


def test_a_signature_of_other_words_of_the_same_key_is_not_believed() -> None:
    file = seal_file(DOCUMENT, KEY)
    body = file[: file.index(b',"signature"')]
    undirected = file.replace(KEY.sign(DOMAIN + body).hex().encode(), KEY.sign(body).hex().encode())
    with pytest.raises(ReceiptFileError, match="does not fit"):
        open_file(undirected, KEYS)


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"a":1}\n', b'{"a":\n1}', b'{"a":1'])
def test_only_an_object_on_one_line_is_signed(document: bytes) -> None:
    with pytest.raises(ValueError, match="one JSON object"):
        seal_file(document, KEY)


@pytest.mark.parametrize("document", [b'{"a":1,"a":2}', b'{"a":}', b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"])
def test_a_signed_file_that_is_no_plain_object_is_refused(document: bytes) -> None:
    with pytest.raises(ReceiptFileError, match="no JSON object"):
        open_file(seal_file(document, KEY), KEYS)
