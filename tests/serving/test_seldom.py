"""What every page might write is written once in a while, and at once where it is something else."""

from serving.seldom import Seldom


def test_the_first_of_a_kind_is_due_at_once_and_others_of_it_once_in_ten_seconds() -> None:
    now = [0.0]
    seldom = Seldom(monotonic=lambda: now[0])
    assert [seldom.is_due(kind) for kind in ("a", "a", "b", "a", "b", None)] == [True, False, True, False, False, True]
    now[0] = 9.9
    assert not seldom.is_due("a")
    now[0] = 10.0
    assert [seldom.is_due("a"), seldom.is_due("a")] == [True, False]


def test_kinds_without_end_are_not_kept_without_end() -> None:
    seldom = Seldom(monotonic=lambda: 0.0)
    assert all(seldom.is_due(n) for n in range(1_000))
    assert len(seldom._told_at) <= 64
