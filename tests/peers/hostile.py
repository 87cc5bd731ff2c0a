"""Records that attackers would write to harm those who read them."""

import json
from typing import Any

from tests.audits.factories import audit_body

_MARKUP = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "</title><script>alert(1)</script>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
    "<a href='javascript:alert(1)'>click</a>",
    "<style>@import url(//evil.example/x.css)</style>",
    "<base href='//evil.example/'>",
    "<form action='//evil.example/'><button>go</button></form>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=//evil.example/'>",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "<!--><script>alert(1)</script-->",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
]
_LINKS = [
    "javascript:alert(1)",
    "JaVaScRiPt\t:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "https://evil.example/?q=%00",
    "//evil.example/",
    "https://audit.example.org@evil.example/",
    # The first letter is Cyrillic.
    "https://\u0430udit.example.org/",
    "../../../etc/passwd",
    "?q=&record=1#",
    "/explorer?q=x",
]
_IDS = [
    'a"b',
    "a'b",
    'a\\"b',
    "a b",
    " a",
    "a:b",
    "a*",
    "*",
    '"quoted"',
    "a&b=c#d%20e+f",
    "\u00e9 \u0065\u0301",
    "😀\u200d👩",
    "__proto__",
    "constructor",
    "x" * 1000,
    "W" * 500,
]
_BIDI = "invoice\u202egpj.exe\u2066\u2069\u200f"
_CONTROLS = "".join(map(chr, [*range(1, 32), *range(0x7F, 0xA0)])) + "\u2028\u2029\ufeff\U000e0041"
_MARKS = "Z" + "\u0336\u0315\u0358" * 60
_LARGE = {f"key {n} " + "k" * 40: "v" * 150 for n in range(280)}


def _nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"end": "<b>here</b>"}
    for level in range(levels - 1):
        value = {f"level {level}": value}
    return value


def _record(action: str, text: str, **fields: Any) -> dict[str, Any]:
    details = {"text": text, "list": [text, {text: text}], text or "empty": None}
    return audit_body(**{"action": action, "actor_id": text, "entity_id": text, "details": details} | fields)


HOSTILE: list[dict[str, Any]] = [
    *(_record("hostile.markup", text, correlation_id=text[:128]) for text in _MARKUP),
    *(_record(text.strip(" *"), "u-1", entity_type=text.strip(" *")) for text in _MARKUP[:4]),
    *(_record("hostile.link", text) for text in _LINKS if "\t" not in text),
    *(_record("hostile.id", text) for text in _IDS),
    _record("hostile.bidi", _BIDI, details={_BIDI: {"hidden": "a\u200bb"}}),
    audit_body(action="hostile.controls", details={"controls": _CONTROLS, _CONTROLS: 1, "marks": _MARKS}),
    audit_body(action="hostile.large", details=_LARGE),
    audit_body(action="hostile.long", details={"text": "x" * 60_000}),
    audit_body(action="hostile.deep", details=_nested(32)),
    audit_body(
        action="hostile.names",
        details=json.loads(
            '{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}, "toString": "x", '
            '"hasOwnProperty": 1, "length": -1, "then": "x", "": "empty name", "key": null, "ref": 1, '
            '"dangerouslySetInnerHTML": {"__html": "<img src=x onerror=alert(1)>"}}'
        ),
    ),
    audit_body(
        action="hostile.component", details={"type": "script", "props": {"children": "alert(1)"}, "constructor": None}
    ),
    audit_body(action="hostile.numbers", details={"n": [1e308, 2**63, -0.0, 1e-300, 0.1]}),
]
