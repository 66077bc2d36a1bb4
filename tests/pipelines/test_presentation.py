"""What is shown is what was found, letter by letter."""

import pytest

from pipelines.presentation import show, warn


def test_names_with_colons_and_brackets_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    show({"about:family:": "t[/red]:smile:"}, as_json=False)
    warn("got 'a[/red]:smile:'")
    shown = capsys.readouterr()
    assert shown.out.split() == ["about:family:", "t[/red]:smile:"]
    assert shown.err == "marquee: got 'a[/red]:smile:'\n"
