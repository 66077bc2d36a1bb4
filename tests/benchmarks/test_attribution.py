"""What the benchmark of attribution times gives the same rewards, or it fails."""

import pytest

from benchmarks import attribution
from models.error import ContractError


def test_a_small_log_has_every_figure() -> None:
    figures = attribution.measure(20_000)
    assert figures["n_impressions"] == 20_000
    assert 3_000 < int(figures["n_plays"]) < 5_000
    assert float(figures["ratio_bare_duckdb"]) > 0
    assert float(figures["speedup_pandas"]) > 0


def test_a_query_with_another_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "_BARE", attribution._BARE.replace("48 HOURS", "1 HOURS"))
    with pytest.raises(ContractError, match="must give the same rewards"):
        attribution.measure(20_000)
