"""Page ids: unique, and sorted as text in the order of time."""

import secrets
from collections.abc import Callable
from datetime import datetime

from serving.catalogue_index import microseconds

PageIds = Callable[[datetime], str]


def page_ids(random_bits: Callable[[int], int] = secrets.randbits) -> PageIds:
    """Make a generator of page ids: UUIDs of version 7 as 32 hexadecimal digits.

    The twelve bits after the milliseconds hold the fraction of the millisecond, so that pages of one process sort by
    microsecond. A seeded `random.Random(…).getrandbits` gives the same ids again.
    Source: RFC 9562, 5.7 and 6.2 (method 3).
    """

    def page_id(at: datetime) -> str:
        milliseconds, rest_us = divmod(microseconds(at), 1000)
        fraction = rest_us * 4096 // 1000
        high = (milliseconds & 0xFFFF_FFFF_FFFF) << 16 | 0x7000 | fraction
        low = 0b10 << 62 | random_bits(62)
        return f"{high << 64 | low:032x}"

    return page_id
