"""The running scorer against its own OpenAPI document, and against bodies that no document describes.

A smaller number runs in CI; `MARQUEE_FUZZ_REQUESTS=10000` asks for as many of each, over a process of its own whose
every line on stderr must be JSON at the end.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.serving.example import logged_events, settings_in
from tests.serving.scorer_process import SERVE_WITHOUT_FEAST, scorer_process

N_REQUESTS = int(os.environ.get("MARQUEE_FUZZ_REQUESTS", "40"))
MANY = settings(
    max_examples=N_REQUESTS,
    deadline=None,
    derandomize=False,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found: Path = tmp_path_factory.mktemp("home")
    settings_in(found)
    return found


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    with scorer_process(home, SERVE_WITHOUT_FEAST, MARQUEE_ACCESS_LOG="true", MARQUEE_MAX_BODY_BYTES="9999999") as (
        process,
        found,
    ):
        yield found
        assert process.poll() is None, "it still lives"
    lines = [json.loads(line) for line in (home / "stderr.log").read_bytes().splitlines()]
    assert {line["status"] for line in lines if line["event"] == "request answered"} <= set(range(200, 500))
    assert not [line for line in lines if line["level"] in {"error", "critical"}]
    assert logged_events(home / "events"), "what was accepted can be read again, to the last line"


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, trust_env=False) as found:
        yield found


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_the_scorer_does_what_its_document_says(url: str, mode: schemathesis.GenerationMode) -> None:
    """Every answer has a status, a type and a shape that the document names; nothing it forbids is accepted.

    Not all that it allows is: no schema can say that titles must not repeat, that a moment lies in this century, or
    that 1.0 is no integer. Such a refusal names the field.
    """
    document = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/v1/pages", "/v1/events", "/metrics", "/readyz"}
    session = requests.Session()
    session.trust_env = False
    for operation in operations:
        if mode is schemathesis.GenerationMode.NEGATIVE and operation.method != "post":
            continue  # what takes no input cannot be asked wrongly

        @given(case=operation.as_strategy(generation_mode=mode))
        @MANY
        def check(case: Case) -> None:
            answer = case.call_and_validate(base_url=url, session=session, excluded_checks=[positive_data_acceptance])
            if mode is schemathesis.GenerationMode.POSITIVE and answer.status_code == 422:
                assert answer.json()["error"]["field"]

        check()
    session.close()


_HOSTILE = st.text(alphabet=st.sampled_from("\n\r\t\x00\x1b[31m\"'\\|:{}<>%$`\u2028\u202e🎬é /."), max_size=40)


@given(st.dictionaries(_HOSTILE, _HOSTILE, max_size=3), _HOSTILE, st.lists(_HOSTILE, max_size=3), _HOSTILE)
@MANY
def test_no_words_break_out_of_the_log(
    client: httpx.Client, extra: dict[str, str], profile: str, titles: list[str], request_id: str
) -> None:
    header = request_id.encode("ascii", "ignore").translate(None, b"\r\n\x00\x1b\t").strip()
    body = json.dumps(extra | {"profile_id": profile, "titles": titles})
    headers = {b"x-request-id": header, b"content-type": b"application/json"}
    answer = client.post("/v1/pages", content=body, headers=headers)
    assert answer.status_code in {200, 422}, answer.text
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", answer.headers["x-request-id"])


@given(st.binary(max_size=400), st.sampled_from(["/v1/pages", "/v1/events"]))
@MANY
def test_no_bytes_make_it_fail(client: httpx.Client, body: bytes, path: str) -> None:
    answer = client.post(path, content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]["message"]
