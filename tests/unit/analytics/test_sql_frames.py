"""Blocks of ClickHouse's Native format for clients of newer protocols, against bytes written by hand."""

import pytest

from services.analytics.sql_endpoint.frames import BLOCK_INFO, NoFrameError, for_revision

NAME = b"\x01a"
UINT8 = b"\x05UInt8"
STRINGS = b"\x06String"


def test_a_client_without_a_revision_gets_the_bytes_as_they_are() -> None:
    assert for_revision(b"\x01\x01" + NAME + UINT8 + b"\x07", 0) == b"\x01\x01" + NAME + UINT8 + b"\x07"


def test_each_block_begins_with_its_info_and_each_column_with_its_serialisation() -> None:
    first = b"\x02\x02", NAME + UINT8, b"\x07\x08", b"\x01b" + STRINGS, b"\x02xy\x00"
    second = b"\x01\x01", NAME + UINT8, b"\x09"
    data = b"".join(first) + b"".join(second)
    counts, head, values, text_head, texts = first
    expected = BLOCK_INFO + counts + head + b"\x00" + values + text_head + b"\x00" + texts
    expected += BLOCK_INFO + second[0] + second[1] + b"\x00" + second[2]
    assert for_revision(data, 54460) == expected
    assert for_revision(data, 54405) == expected.replace(UINT8 + b"\x00", UINT8).replace(STRINGS + b"\x00", STRINGS)


def test_a_column_that_cannot_be_measured_is_named() -> None:
    name = b"Dynamic"
    with pytest.raises(NoFrameError, match="Dynamic"):
        for_revision(b"\x01\x01" + NAME + bytes([len(name)]) + name + b"\x00" * 32, 54460)
