"""Secrets never reach people or files, whatever carries them."""

import logging

import pytest

from bench.engine.redaction import RedactingFormatter, redact

CANARY = "SEKRET-7f3a"
TEXTS = [
    f"http://me:{CANARY}@host:5000/path",
    f"postgresql+psycopg2://me:{CANARY}@host/db",
    f"https://{CANARY}@host",
    f"http://me:a@{CANARY}@host",
    f"https://host/path?token={CANARY}&x=1",
    f"https://host/path?x=1&api_key={CANARY}",
    f"https://host/path?X-Amz-Signature={CANARY}",
    f"https://host/file?sv=1&sig={CANARY}",
    f"Authorization: Basic {CANARY}",
    f"{{'Authorization': 'Bearer {CANARY}'}}",
    f"Bearer {CANARY}",
    f"connection failed: password={CANARY} host=a",
    f"{{'client_secret': '{CANARY}'}}",
    f"access_token={CANARY}",
]
PLAIN = [
    "http://127.0.0.1:5000/path?run=1#top",
    "sqlite:////srv/runs/mlflow.db",
    "tokens=128, tokens_per_second=5.1, mask_token=5",
    "give --option KEY=VALUE, such as eta=0.1",
    "the key of the basic arm is token 3",
    "mail@example.org wrote a@b",
    "openai-community/gpt2@607a30d",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_secret_is_masked_by_its_form(text: str) -> None:
    assert CANARY not in redact(text)
    assert "***" in redact(text)
    assert "host" not in text or "host" in redact(text), "the rest of an address stays"


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "HF_TOKEN", "MY_API_KEY"])
def test_secrets_of_the_environment_are_masked_wherever_they_stand(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, CANARY)
    assert redact(f"refused {CANARY}.") == "refused ***."


@pytest.mark.parametrize("password", [f"{CANARY}/x", f"a@{CANARY}", f"{CANARY}%40x", f"{CANARY}#?"])
def test_the_password_of_the_store_is_masked_in_any_form(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{password}@host")
    for text in (f"http://me:{password}@host/api", f"user me with {password}", password.replace("%40", "@")):
        assert CANARY not in redact(text)


def test_log_lines_are_masked() -> None:
    record = logging.LogRecord("bench", logging.INFO, "", 0, "fetching %s", (TEXTS[0],), None)
    assert RedactingFormatter("%(message)s").format(record) == "fetching http://***@host:5000/path"
