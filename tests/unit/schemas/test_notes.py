"""Keys, notes and checkpoints: what is signed can be checked, and nothing else can."""

import base64
import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.notes import (
    Checkpoint,
    KeyFormatError,
    NoteError,
    SigningKey,
    open_checkpoint,
    open_note,
    parse_keys,
    sign_note,
)

# RFC 8032, section 7.1, test 1.
SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
KEY = SigningKey(SEED)
KEYS = {KEY.public.id: KEY.public}
OTHER = SigningKey("22" * 32)
CHECKPOINT = Checkpoint(size=12, root=bytes(range(32)), at=datetime(2026, 7, 26, 1, 2, 3, 456, UTC))


def test_a_key_is_the_one_that_the_standard_derives_from_its_seed() -> None:
    assert KEY.public.raw.hex() == PUBLIC


def test_a_checkpoint_is_read_back_by_whoever_has_the_public_key() -> None:
    assert open_checkpoint(CHECKPOINT.signed(KEY), KEYS) == CHECKPOINT


def test_a_checkpoint_reads_as_the_form_that_is_written_down() -> None:
    lines = CHECKPOINT.signed(KEY).splitlines()
    assert lines[:5] == [
        "tollbook/ledger",
        "12",
        base64.b64encode(bytes(range(32))).decode(),
        "time 2026-07-26T01:02:03.000456Z",
        "",
    ]
    assert lines[5].startswith("\u2014 tollbook/ledger ")
    assert base64.b64decode(lines[5].split()[-1])[:4].hex() == KEY.public.id


def test_no_note_with_one_bit_flipped_is_believed() -> None:
    note = CHECKPOINT.signed(KEY).encode()
    believed = []
    for bit in range(8 * len(note)):
        bent = bytearray(note)
        bent[bit // 8] ^= 1 << bit % 8
        try:
            open_checkpoint(bytes(bent).decode("utf-8", "surrogateescape"), KEYS)
        except NoteError:
            continue
        believed.append(bit)
    assert believed == []


def test_a_note_of_an_unknown_key_is_not_believed() -> None:
    with pytest.raises(NoteError, match=OTHER.public.id):
        open_checkpoint(CHECKPOINT.signed(OTHER), KEYS)


def test_a_note_of_a_key_that_claims_to_be_another_is_not_believed() -> None:
    with pytest.raises(NoteError, match="does not fit"):
        open_checkpoint(CHECKPOINT.signed(OTHER), {OTHER.public.id: KEY.public})


def test_a_signed_text_that_is_no_checkpoint_is_none() -> None:
    note = sign_note("hello\n", KEY)
    assert open_note(note, KEYS) == ("hello\n", KEY.public)
    with pytest.raises(NoteError, match="not a checkpoint"):
        open_checkpoint(note, KEYS)


@pytest.mark.parametrize("form", ["public_key", "pem", "verifier_key"])
def test_a_published_key_is_read_in_every_form(form: str) -> None:
    assert parse_keys(KEY.public.described("current")[form] + "\n") == KEYS


def test_a_list_of_published_keys_is_read_as_all_of_them() -> None:
    data = [KEY.public.described("current"), OTHER.public.described("former")]
    assert parse_keys(json.dumps({"object": "list", "data": data})) == KEYS | {OTHER.public.id: OTHER.public}


def test_what_is_no_ed25519_key_is_refused() -> None:
    foreign = generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    wrong_id = KEY.public.described("current")["verifier_key"].replace(KEY.public.id, "00000000")
    for given in ("", "abc", "-----BEGIN NONSENSE", foreign.decode(), '{"data":[{}]}', "{", wrong_id, PUBLIC[:-2]):
        with pytest.raises(KeyFormatError):
            parse_keys(given)


@pytest.mark.parametrize("seed", ["", "ab", "z" * 64, SEED + "00"])
def test_a_seed_of_another_shape_is_refused(seed: str) -> None:
    with pytest.raises(KeyFormatError):
        SigningKey(seed)


def test_a_signing_key_does_not_print_its_seed() -> None:
    assert SEED not in repr(KEY) + str(KEY) + repr(vars(KEY))
