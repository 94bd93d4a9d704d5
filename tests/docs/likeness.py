"""Compares what a page shows with what was printed: alike but for ids, times and secrets."""

from __future__ import annotations

import re

#: What differs from run to run, and what stands for it. The order matters: an id inside a longer
#: text must not be taken for something shorter.
_CHANGING = (
    (r"\bmsg_[0-9a-f]{32}\b", "<delivery>"),
    (r"\bsub_[0-9a-f]{24}\b", "<callback>"),
    (r"\bwhsec_[\w+/]+=*", "<secret>"),
    (r"\bv1,[\w+/]{43}=", "<signature>"),
    (r'(?<="webhook-timestamp": ")\d{10}\b', "<time>"),
    (r'(?<="pid": )\d+|(?<="pid":)\d+', "<pid>"),
    (r"run here as [\w-]+, on \d+ cores", "run here"),
    (r'(?<="duration_s":)[\d.e-]+', "<amount>"),
    (r'(?<="etag": )"[^"]+"|W?/?"[0-9a-f]{13}-[0-9a-f]+"', "<version>"),
    (r"\bjwk_[a-z0-9]+_[\w-]+", "<key>"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<job>"),
    (r"\b[0-9a-f]{8}…", "<job>"),
    (r"\b[a-z2-7]{2}[b-z2-7][a-z2-7]{0,5}[a-z2-7]{26}\b", "<token>"),
    (r"\b[0-9a-f]{32}\b", "<event>"),
    (r"\b[0-9a-f]{16}\b", "<request>"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|\+00:00| UTC)?", "<time>"),
    (r"\b\d\d:\d\d:\d\d(\.\d+)?\b", "<time>"),
    (r'"id":\s*"[a-z2-9]{10}"', '"id":"<key id>"'),
    (r"(?<=/v1/keys/)[a-z2-9]{10}\b", "<key id>"),
    (r"(?m)^id: [\w-]{16,}$", "id: <place>"),
    (r"(?m)^(\s*(id\s+)?)[a-z2-9]{10}(?=\s|$)", r"\1<key id>"),
    (r"[+]?\b\d+(\.\d+)? ?(ms|s|min|KiB|MiB|GiB)\b", "<amount>"),
    (r"\bpid \d+", "pid <pid>"),
    (r"process \d+", "process <pid>"),
    (r"[─━═╌┄-]{3,}", "---"),
    (r"[█▉▊▋▌▍▎▏]+", ""),
    (r"\b\w+day, \d+ \w+ \d{4}\b", "<day>"),
    (r"[ \t]+", " "),
)


#: A progress bar: a line that is erased, from within or from the line below; then colours.
_ERASED = re.compile(r"[^\n]*\n?(?:\x1b\[\?25h)?\r(?:\x1b\[1A)?\x1b\[2K")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


def as_seen(printed: str) -> str:
    """Return what is left on a terminal at the end: nothing that was erased, no colours."""
    return _CONTROL.sub("", _ERASED.sub("", printed))


def settle(text: str) -> list[str]:
    """Put a placeholder for everything that changes; return the lines, without empty ones."""
    for pattern, word in _CHANGING:
        text = re.sub(pattern, word, text)
    return [line.strip() for line in text.splitlines() if line.strip()]


def is_like(shown: str, printed: str) -> bool:
    """Return whether a print is what was shown; a line `...` stands for any number of lines."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
        for line in settle(shown)
    )
    return (
        re.fullmatch(pattern, "".join(f"{line}\n" for line in settle(as_seen(printed)))) is not None
    )
