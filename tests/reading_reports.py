"""Read a report back: what stands in the file, without a browser."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from typing import Any

import numpy as np


def blocks(html: str) -> dict[str, dict[str, Any]]:
    """Numbers of the page by block and name."""
    found = re.findall(r'<script type="text/plain" id="(\w+)">([A-Za-z0-9+/=]*)</script>', html)
    return {name: _parts(gzip.decompress(base64.b64decode(text))) for name, text in found}


def _parts(data: bytes) -> dict[str, Any]:
    end = 4 + int.from_bytes(data[:4], "little")
    out: dict[str, Any] = {}
    for name, (kind, shape, start, length) in json.loads(data[4:end]).items():
        raw = data[end + start : end + start + length]
        if kind == "json":
            out[name] = json.loads(raw)
        else:
            out[name] = raw if kind == "bytes" else np.frombuffer(raw, f"<{kind}").reshape(shape)
    return out


def strip_values(payload: bytes) -> np.ndarray:
    """Values that a strip colours, from its payload."""
    end = 4 + int.from_bytes(payload[:4], "little")
    return np.frombuffer(payload, "<f4", json.loads(payload[4:end])["n"], end)


def policy(html: str) -> dict[str, list[str]]:
    """Content policy of the page, by what it rules."""
    [text] = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', html)
    return {part.split()[0]: part.split()[1:] for part in text.split(";")}


def hash_of(script: str) -> str:
    """How a policy names a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
