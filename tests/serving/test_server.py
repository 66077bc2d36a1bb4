"""An address that cannot be listened on is told at once, in one sentence."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from models.error import ContractError
from serving.server import refuse_taken, run
from tests.serving.example import settings_in
from tests.serving.scorer_process import ROOT, scorer_process


def test_a_taken_port_ends_the_command_with_one_sentence_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = subprocess.run(
            [sys.executable, "-m", "pipelines", "serve"],
            env=os.environ | {"PYTHONPATH": str(ROOT), "MARQUEE_HOME": str(tmp_path), "MARQUEE_PORT": str(port)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ran.returncode == 2
    assert len(ran.stderr.strip().splitlines()) == 1, ran.stderr
    assert f"127.0.0.1:{port}" in ran.stderr
    assert "MARQUEE_PORT" in ran.stderr
    assert not list(tmp_path.iterdir()), "nothing was begun"


def test_a_host_that_is_not_ours_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"192\.0\.2\.1:8080.*MARQUEE_HOST"):
        run(settings_in(tmp_path, host="192.0.2.1", port=8080, page_tokens="a-token-of-the-pages"))


@pytest.mark.parametrize("tokens", ["", "a-token-of-the-pages"])
def test_a_host_that_is_no_name_is_refused_with_it(tmp_path: Path, tokens: str) -> None:
    with pytest.raises(ContractError, match=r"a\.\.b.*MARQUEE_HOST"):
        run(settings_in(tmp_path, host="a..b", port=8080, page_tokens=tokens))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_free_port_stays_free_for_the_server(tmp_path: Path, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    settings = settings_in(tmp_path, host=host, port=port)
    for _ in range(2):
        refuse_taken(settings)


def test_a_scorer_that_starts_names_a_variable_that_nothing_reads(tmp_path: Path) -> None:
    serve = "from pipelines.settings import Settings\nfrom serving.server import run\nrun(Settings())"
    with scorer_process(tmp_path, serve, MARQUEE_PROT="8081", MARQUEE_FEATURE_REPO=str(ROOT / "feature_repo")):
        lines = [json.loads(line) for line in (tmp_path / "stderr.log").read_text().splitlines()]
    told = [line["why"] for line in lines if line["event"] == "unknown variable"]
    assert "MARQUEE_PROT is read by nothing: is MARQUEE_PORT meant?" in told
    assert not any("MARQUEE_PORT is read" in why or "MARQUEE_HOME is read" in why for why in told)
