"""Remove secrets from text for people and files: logins in addresses, tokens in queries, headers, the environment."""

import logging
import os
import re
import sys
import traceback
from types import TracebackType
from urllib.parse import unquote

MASK = "***"
ADDRESS = "MLFLOW_TRACKING_URI"  # environment variable whose value may contain a login
STORE_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
SECRET_VARIABLE = re.compile(r"(?:PASSWORD|PASSWD|TOKEN|SECRET|API_KEY|ACCESS_KEY)$")
SHORTEST = 3  # characters of a secret that is masked wherever it stands; shorter ones would garble ordinary words
SHORTEST_OF_OTHERS = 8  # of one that is not MLflow's: variables of such names hold "true" and the like, too

IN_QUERY = r"[\w.-]*(?:token|passw|pwd|secret|credential|signature|key)[\w.-]*|sig|auth|code"  # names of secrets
IN_TEXT = r"[\w.-]*(?:password|passwd|pwd|secret|api[_-]?key|access[_-]?key|(?:access|auth|api|refresh)[_-]?token)"
PATTERNS = (
    (re.compile(r"(?P<head>\b[a-z][a-z0-9+.-]*://)[^\s/?#'\"<>]*@", re.IGNORECASE), rf"\g<head>{MASK}@"),
    (re.compile(rf"(?P<head>[?&;](?:{IN_QUERY})=)[^\s&;#'\"<>)]+", re.IGNORECASE), rf"\g<head>{MASK}"),
    (re.compile(rf"(?P<head>\b{IN_TEXT}['\"]?\s*[=:]\s*['\"]?)[^\s&;,'\"<>)]+", re.IGNORECASE), rf"\g<head>{MASK}"),
    (re.compile(r"(?P<head>\b(?:proxy-)?authorization['\"]?\s*[:=]\s*)[^\r\n]+", re.IGNORECASE), rf"\g<head>{MASK}"),
    (re.compile(r"(?P<head>\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\g<head>{MASK}"),
)
LOGIN = re.compile(r"^[a-z][a-z0-9+.-]*://(?P<login>.+)@", re.IGNORECASE)  # a password may hold "/" and "@" as they are


def redact(text: str, *addresses: str) -> str:
    """The text without secrets: those that their form gives away, and those of the environment and of `addresses`."""
    for secret in sorted(_known_secrets(addresses), key=len, reverse=True):
        text = text.replace(secret, MASK)
    for pattern, replacement in PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _known_secrets(addresses: tuple[str, ...]) -> set[str]:
    """The passwords and tokens in the environment and in addresses, as written and decoded."""
    secrets = {os.environ.get(name, "") for name in STORE_SECRETS}
    for address in (*addresses, os.environ.get(ADDRESS, "")):
        if login := LOGIN.match(address):
            user, colon, password = login["login"].partition(":")
            secrets.add(password if colon else user)
        secrets.update(re.findall(rf"[?&;](?:{IN_QUERY})=([^&;#]+)", address, re.IGNORECASE))

    forms = {form for secret in secrets for form in (secret, unquote(secret)) if len(form) >= SHORTEST}
    others = {value for name, value in os.environ.items() if SECRET_VARIABLE.search(name)}
    return forms | {value for value in others if len(value) >= SHORTEST_OF_OTHERS}


class RedactingFormatter(logging.Formatter):
    """Formats log records without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an error that nothing caught, without secrets; for `sys.excepthook`."""
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))
