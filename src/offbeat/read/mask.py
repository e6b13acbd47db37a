"""Personal data replaced by a keyed hash before anything else sees the text.

The same value gives the same hash under the same key, so that what belongs together stays together; without the key the
value cannot be found by trying (BLAKE2s, RFC 7693, keyed).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Final

import polars as pl

# Whoever writes the log chooses its text: a run that an expression may begin anywhere in is bounded, or trying it at
# each place of a long line would take the square of its length.
_BEGIN: Final = r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY"
#: A private key on one line, and the lines of one that has several (RFC 7468: base64 in lines of at most 76).
_KEY: Final = rf"(?P<pem>{_BEGIN}-----.*?(?:-----END [A-Z0-9 ]*-----|$)|^[A-Za-z0-9+/]{{20,76}}={{0,2}}$)"
#: Name and password in front of a host (RFC 3986, 3.2.1).
_URL: Final = r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]{0,30}://)(?P<login>[^\s/@:\"'<>]*:[^\s/@\"'<>]+)(?=@)"
_SLACK: Final = r"(?P<hook>(?<=hooks\.slack\.com/services/)[^\s\"'<>]+)"
_SCHEME: Final = r"(?:bearer|basic|digest|token|negotiate|ntlm|apikey|aws4-hmac-sha256) +"
_HEADER: Final = (
    rf"(?P<header>(?i:authorization\\?[\"']?\s*[:=]\s*\\?[\"']?(?:{_SCHEME})?|\bbearer +))"
    r"(?P<proof>(?:[\w-]+=\"[^\"]*\"|[^\s\"',;}\\]+)(?:, *[\w-]+=(?:\"[^\"]*\"|[^\s,\"]+))*)"
)
_COOKIE: Final = (
    r"(?P<jar>(?i:\bcookie2?\\?[\"']?\s*[:=]\s*\\?[\"']?))"
    r"(?P<cookie>[^\s\"';,=\\]{1,250}=[^\s\"';\\]*(?:; *[^\s\"';,=\\]+(?:=[^\s\"';\\]*)?)*)"
)
_NAMES: Final = (
    r"passw(?:or)?ds?|passwd|passphrase|[_-]pass|pwd|secrets?|token|credentials?|(?:api|access|secret|private|account|auth"
    r"|shared_?access|signing|encryption|session)[_-]?key|phpsessid|jsessionid|asp\.net_sessionid|aspsessionid\w{0,40}"
    r"|connect\.sid|csrftoken|xsrf-token|x-amz-signature|x-amz-credential|sharedaccesssignature|[?&]sig"
)
_NAMED: Final = (
    rf"(?P<name>(?i:{_NAMES}))(?P<sign>\\?[\"']?\s*(?:=>|[=:])\s*)(?i:{_SCHEME})?"
    r"(?:(?P<quote>\\?[\"'])(?P<quoted>.*?)(?P=quote)|(?P<list>\[[^\[\]]*\])|\\?[\"']?(?P<bare>[^\s\"',;&{}\[\]\\]+))"
)
_SAID: Final = (
    r"(?P<said>(?i:\bpass(?:word|phrase|wd) +(?:is +)?)(?=[\"'])"
    r"|(?i:(?<!-)--[\w-]{0,60}(?:password|passwd|token|secret|key) +)|(?<= -u )(?=[^\s:]+:))"
    r"(?P<word>\"[^\"]+\"|'[^']+'|[^\s\"']+)"
)
_MAIL: Final = r"(?P<mail>(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}\.[A-Za-z]{2,})"
#: Tokens that can be told by how they begin: JWT, GitHub, GitLab, Stripe, OpenAI, Slack, Google, npm, SendGrid, AWS.
_KNOWN: Final = (
    r"(?P<token>\beyJ[\w-]{8,2000}\.[\w-]{8,}\.[\w-]*|\b(?:gh[opusr]|github_pat|npm|hf)_\w{16,}|\bglpat-[\w-]{16,}"
    r"|\b(?:sk|pk|rk|xox[abeoprs])[_-][\w-]{16,}|\bAIza[\w-]{30,}|\bya29\.[\w-]{16,}|\bSG\.[\w-]{16,}\.[\w-]{16,}"
    r"|\bA(?:KIA|SIA|ROA|IDA|GPA)[A-Z0-9]{16}\b)"
)
# Issuers' numbers begin with 3 to 6; times in milliseconds and the like, which begin with 1, are no cards.
_CARD: Final = r"(?P<card>\b[3-6][0-9]{3}[ -]?(?:[0-9]{4}[ -]?){2}[0-9]{1,7}\b|\b3[0-9]{3}[ -][0-9]{6}[ -][0-9]{5}\b)"
_IBAN: Final = r"(?P<iban>\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b)"
_IPV4: Final = r"(?P<ip>\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b)"
_HEX: Final = "[0-9a-fA-F]{1,4}"
# What ends in an address of the older kind (::ffff:192.0.2.7) is left to that.
_IPV6: Final = (
    rf"(?P<ip6>(?<![\w:.])(?:(?:{_HEX}:){{7}}{_HEX}|(?:{_HEX}:){{1,6}}:(?:{_HEX}(?::{_HEX}){{0,5}})?"
    rf"|::{_HEX}(?::{_HEX}){{0,6}})(?![\w:]|\.[0-9]))"
)
_ADDRESSES: Final = "|".join((_CARD, _IPV4, _IPV6))
_ALL: Final = "|".join((_KEY, _URL, _SLACK, _HEADER, _COOKIE, _NAMED, _SAID, _MAIL, _KNOWN, _CARD, _IBAN, _IPV4, _IPV6))
# Cheap questions in Rust find the lines worth the slow expressions: most have addresses and nothing else.
_MAYBE: Final = (
    r"(?i)@|pass|pwd|secret|token|key|credential|authorization|bearer|cookie|sess(?:ion)?id|connect\.sid|x-amz-|sig="
    r"|eyJ|gh[opusr]_|github_|npm_|hf_|glpat-|[spr]k[_-]|xox|AIza|ya29|SG\.|A(?:KIA|SIA|ROA|IDA|GPA)| -u |slack\.com"
    r"|csrf|xsrf|(?-i:[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4})|^[A-Za-z0-9+/]{20,76}={0,2}$"
)
_MAYBE_ADDRESS: Final = (
    r"[0-9]\.[0-9]{1,3}\.[0-9]|[3-6][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}|3[0-9]{3}[ -][0-9]{6}|:[0-9a-fA-F]{0,4}:"
)
_SIZE: Final = 5  # bytes of hash: 40 bits, ten hexadecimal digits
_NOTHING: Final = frozenset({"", "null", "none", "true", "false", "nil", "undefined", "-"})
#: What stands before a value of JSON that is no text.
_IN_JSON: Final = re.compile(r'"\s*:\s*$')


def masker(key: bytes) -> Callable[[pl.Series], pl.Series]:
    """A function that masks lines (String, shape (n,)) under ``key``."""
    secret = key if len(key) <= hashlib.blake2s.MAX_KEY_SIZE else hashlib.blake2s(key).digest()

    def digest(kind: str, value: str) -> str:
        return f"{kind}_{hashlib.blake2s(value.encode(), key=secret, digest_size=_SIZE).hexdigest()}"

    def replace(match: re.Match[str]) -> str:
        kind = match.lastgroup or ""
        found = match.groupdict() if "name" in match.re.groupindex else {}
        if found.get("name") is not None:
            return _of_named(match, found, digest)
        for before, value in (("scheme", "login"), ("header", "proof"), ("jar", "cookie"), ("said", "word")):
            if found.get(before) is not None:
                return str(found[before]) + digest("secret", str(found[value]).strip("\"'"))
        value = match[0]
        if _is_none(kind, value):
            return value
        masked = digest(_SHOWN.get(kind, kind), value)
        return f'"{masked}"' if kind == "card" and _IN_JSON.search(match.string[: match.start()]) else masked

    def mask(lines: pl.Series) -> pl.Series:
        worth = lines.str.contains(_MAYBE).fill_null(False)
        address = lines.str.contains(_MAYBE_ADDRESS).fill_null(False) & ~worth
        for rows, expression in ((worth.arg_true(), _ALL), (address.arg_true(), _ADDRESSES)):
            if len(rows):
                compiled = re.compile(expression)
                masked = [compiled.sub(replace, text) for text in lines.gather(rows).to_list()]
                lines = lines.scatter(rows, pl.Series(masked, dtype=pl.String))
        return lines

    return mask


_SHOWN: Final = {"ip6": "ip", "pem": "key", "hook": "secret"}


def _of_named(match: re.Match[str], found: dict[str, str | None], digest: Callable[[str, str], str]) -> str:
    """What has a name, as ``password=…``; a record stays one: its values that are no text become text."""
    quote, quoted = found["quote"] or "", found["quoted"]
    value = quoted if quoted is not None else found["list"] or found["bare"] or ""
    if value.lower() in _NOTHING:
        return match[0]
    head = match.string[match.start() : match.start("quote") if quoted is not None else _start(match)]
    sign = found["sign"] or ""
    if quoted is None and head[-1:] not in ("'", '"') and re.match(r'\\?["\']', sign):  # the name is in quotes alone
        quote = sign[: 1 + sign.startswith("\\")]
    return f"{head}{quote}{digest('secret', value)}{quote}"


def _start(match: re.Match[str]) -> int:
    return match.start("list") if match["list"] is not None else match.start("bare")


def _is_none(kind: str, value: str) -> bool:
    """Whether what looks like a card, an account or an address is none."""
    if kind == "card":
        return not _is_card(value)
    if kind == "iban":
        return not _is_account(value)
    if kind == "ip6":  # more likely a::b of some programming language
        return not any(c.isdigit() for c in value)
    if kind == "pem" and not value.startswith("-"):  # one word of a language, or a hash
        return not (any(map(str.islower, value)) and any(map(str.isupper, value)) and any(map(str.isdigit, value)))
    return kind == "ip" and any(int(part) > 255 for part in value.split("."))


def _is_card(text: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1, annex B), so that other long numbers stay as they are."""
    digits = [int(c) for c in text if c.isdigit()]
    if not 13 <= len(digits) <= 19:
        return False
    doubled = [d if i % 2 == 0 else (2 * d if d < 5 else 2 * d - 9) for i, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def _is_account(text: str) -> bool:
    """The check digits of an IBAN (ISO 13616, 97 to be divided by)."""
    bare = text.replace(" ", "")
    return 15 <= len(bare) <= 34 and int("".join(str(int(c, 36)) for c in bare[4:] + bare[:4])) % 97 == 1
