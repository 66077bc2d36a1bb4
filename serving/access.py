"""Who may do what: bearer tokens by role. Without any token everything is open, which only loopback may be."""

import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Mapping
from enum import StrEnum
from hashlib import blake2b
from typing import Self

from models.error import ContractError
from serving.settings import ScorerSettings

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*")
_BEARER = re.compile(r"bearer +(?P<token>[A-Za-z0-9._~+/=-]+) *", re.IGNORECASE)


class Role(StrEnum):
    """What a token lets its holder do: ask for pages, report events, or read what is told to operators."""

    PAGE = "page"
    EVENT = "event"
    ADMIN = "admin"


class Verdict(StrEnum):
    """Whether a request may pass; a stranger showed no token that is known, and may try again with one."""

    ALLOWED = "allowed"
    STRANGER = "stranger"
    FORBIDDEN = "forbidden"


class Access:
    """The tokens of one scorer.

    As soon as one role has a token, every role needs one: a role without is closed to all. Tokens are compared as
    digests under a key of this process, all of them every time: how long that takes tells nothing about any.

    Raises:
        ContractError: if a token is not one that HTTP can carry (RFC 6750), or is shorter than 16 characters. The
        message never holds a token.
    """

    def __init__(self, tokens: Mapping[Role, tuple[str, ...]]) -> None:
        self._key = secrets.token_bytes(32)
        self._known = [(role, self._digest(_checked(role, each))) for role, found in tokens.items() for each in found]

    @classmethod
    def of(cls, settings: ScorerSettings) -> Self:
        """Take the tokens from the settings: any number for each role, separated by commas."""
        secret = {
            Role.PAGE: settings.page_tokens,
            Role.EVENT: settings.event_tokens,
            Role.ADMIN: settings.admin_tokens,
        }
        return cls({
            role: tuple(filter(None, (each.strip() for each in found.get_secret_value().split(","))))
            for role, found in secret.items()
        })

    @property
    def is_open(self) -> bool:
        """Whether nobody needs a token."""
        return not self._known

    def judge(self, role: Role, authorization: str | None) -> Verdict:
        """Judge a request by its `Authorization` header."""
        if self.is_open:
            return Verdict.ALLOWED
        shown = _BEARER.fullmatch(authorization or "")
        digest = self._digest(shown["token"] if shown else "")
        roles = {known for known, expected in self._known if hmac.compare_digest(digest, expected)}
        if role in roles:
            return Verdict.ALLOWED
        return Verdict.FORBIDDEN if roles else Verdict.STRANGER

    def _digest(self, token: str) -> bytes:
        return blake2b(token.encode(), key=self._key, digest_size=32).digest()


def refuse_exposed(settings: ScorerSettings) -> None:
    """Refuse to serve a host that others can reach without asking anybody for a token.

    Raises:
        ContractError: naming the host and the settings that would let it be served.
    """
    if Access.of(settings).is_open and not is_loopback(settings.host):
        raise ContractError(
            f"will not serve {settings.host or 'every address'} without tokens: set MARQUEE_PAGE_TOKENS, "
            "MARQUEE_EVENT_TOKENS and MARQUEE_ADMIN_TOKENS, or MARQUEE_HOST=127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a host: every address that its name has is a loopback one."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except (OSError, UnicodeError):
        return False  # whoever listens there will say why it cannot
    return bool(found) and all(ipaddress.ip_address(str(address[0])).is_loopback for *_, address in found)


def _checked(role: Role, token: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise ContractError(
            f"MARQUEE_{role.upper()}_TOKENS: a token has 16 to 512 letters, digits and ._~+/-, and = at its end only; "
            "make one with python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return token
