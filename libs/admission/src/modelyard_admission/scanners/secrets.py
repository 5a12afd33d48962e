"""Secrets and personal data in texts. A finding names kind, count and line, never the value."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from math import log2
from typing import Final

from modelyard_admission.notes import Note, Verdict

SECRETS: Final = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    "an access key of AWS": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a token of GitHub": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})\b"),
    "a token of Hugging Face": re.compile(r"\bhf_[A-Za-z0-9]{30,}\b"),
    "a token of Slack": re.compile(r"\bxox[baprs]-[A-Za-z0-9-]{10,}"),
    "an API key of Google": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "an API key of a model provider": re.compile(r"\bsk-(?:[a-z]+-)*[A-Za-z0-9_-]{20,}"),
}
_ASSIGNED: Final = re.compile(
    r"(?i)\b(?:password|passwd|secret|token|api_?key|access_?key)\b[\"']?\s*[:=]\s*[\"']([^\"'\s]{16,})[\"']"
)
MIN_ENTROPY_BITS: Final = 3.5
"""Bits per character from which a quoted value looks random rather than written."""
_EMAIL: Final = re.compile(r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}\b")
MIN_EMAILS: Final = 5
"""Fewer addresses are contacts, not a list."""
_CARD: Final = re.compile(
    r"(?<![\d.])(?:4\d{3}|5[1-5]\d{2}|2[2-7]\d{2}|3[47]\d{2}|6\d{3})(?:[ -]?\d{4}){2}[ -]?\d{3,4}(?![\d.])"
)
_IBAN: Final = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")


def secret_notes(text: str) -> Iterator[Note]:
    """Keys and tokens by their shape, and quoted random values that are assigned to a telling name."""
    for kind, pattern in SECRETS.items():
        match = pattern.search(text)
        if match:
            yield _note("secret", f"holds {kind}", text, match.start(), "Revoke it, and remove it from the file.")
    for match in _ASSIGNED.finditer(text):
        if entropy_bits(match[1]) >= MIN_ENTROPY_BITS:
            yield _note(
                "secret", "holds a value that looks like a secret", text, match.start(), "Revoke and remove it."
            )
            return


def personal_notes(text: str) -> Iterator[Note]:
    """Lists of e-mail addresses, card numbers and account numbers."""
    for kind, pattern, valid, least in _PERSONAL:
        found = {match[0]: match.start() for match in pattern.finditer(text) if valid(match[0])}
        if len(found) >= least:
            first = min(found.values())
            yield _note(
                "personal-data", f"holds {len(found)} {kind}", text, first, "Remove personal data from the model."
            )


def _note(rule: str, message: str, text: str, at: int, remedy: str) -> Note:
    return Note(rule, Verdict.SUSPICIOUS, message, f"line {text.count(chr(10), 0, at) + 1}", remedy)


def entropy_bits(value: str) -> float:
    """Shannon entropy of the characters, in bits per character."""
    counts = Counter(value).values()
    return -sum(count / len(value) * log2(count / len(value)) for count in counts)


def passes_luhn(number: str) -> bool:
    """The check digit of card numbers (ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in number if digit.isdigit()]
    doubled = [2 * digit - 9 * (digit > 4) for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_iban(number: str) -> bool:
    """The check digits of account numbers (ISO 13616: modulo 97)."""
    plain = number.replace(" ", "")
    moved = plain[4:] + plain[:4]
    return 15 <= len(plain) <= 34 and int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


_PERSONAL: Final[tuple[tuple[str, re.Pattern[str], Callable[[str], bool], int], ...]] = (
    ("e-mail addresses", _EMAIL, lambda _: True, MIN_EMAILS),
    ("card numbers", _CARD, passes_luhn, 1),
    ("account numbers (IBAN)", _IBAN, is_iban, 1),
)
