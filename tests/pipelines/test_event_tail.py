"""The log is read on: each line once, and what was read to its end not again."""

from models.event import encode_lines
from models.segment import open_name
from pipelines.event_tail import EventTail
from tests.pipelines.event_log import at, page, write_segment


def test_lines_are_read_once_while_a_segment_grows_and_when_it_is_renamed(tmp_path):
    path = tmp_path / "importer" / open_name(at(0), "w")
    path.parent.mkdir()
    content, offsets, lines = encode_lines([page(at(n), f"d{n}") for n in range(9)]), {}, []
    tail = EventTail(tmp_path, lambda segment: offsets.get(segment, 0))
    for end in range(0, len(content) + 1, 61):
        path.write_bytes(content[:end])
        for read in tail.read_on(at(0)):
            offsets[read.segment], lines = read.offset, lines + read.lines
    closed = write_segment(tmp_path / "importer", [page(at(n), f"d{n}") for n in range(9)], writer="w")
    assert closed.read_bytes() == content
    path.unlink()
    for read in tail.read_on(at(0), max_bytes=100):
        lines += read.lines
    assert lines == content.splitlines()
    assert not list(EventTail(tmp_path, lambda _: 0).read_on(at(20)))


def test_a_look_that_is_cut_short_is_not_through_and_leaves_nothing_behind(tmp_path):
    for number in range(5):
        write_segment(tmp_path, [page(at(number + part / 9), f"d{number}-{part}") for part in range(9)], f"w{number}")
    offsets, lines = {}, []
    tail = EventTail(tmp_path, lambda segment: offsets.get(segment, 0))
    while not tail.is_through:
        for read in tail.read_on(None, max_bytes=2_000):
            offsets[read.segment], lines = read.offset, lines + read.lines
    assert len(lines) == len(set(lines)) == 45
