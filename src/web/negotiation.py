"""Which of several media types a client prefers, and whether it takes gzip (RFC 9110, 12.5.1 and 12.5.3)."""

import re
from collections.abc import Iterator

_WEIGHT = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.ASCII | re.IGNORECASE)
# How exactly a range names a media type: the most exact one that matches decides.
_ANY, _ANY_SUBTYPE, _EXACT = range(3)


def prefers(accept: str, wanted: str, usual: str) -> bool:
    """Whether the client gives the media type `wanted` a greater weight than the `usual` one.

    `accept` has all lines of the header. A range that is malformed counts as if it were not there.
    """
    ranges = [*_parse(accept)]
    return _weigh(wanted, ranges) > _weigh(usual, ranges)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the client takes the content coding. It does not where it says nothing of codings."""
    weights = dict(_parse(accept_encoding))
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0))) > 0


def _parse(accept: str) -> Iterator[tuple[str, float]]:
    """Each range in lower case with its weight, without the range's other parameters."""
    for member in accept.split(","):
        media_range, *parameters = (part.strip(" \t") for part in member.split(";"))
        weights = [parameter for parameter in parameters if parameter[:2].lower() == "q="]
        found = [_WEIGHT.fullmatch(weight) for weight in weights] or [_WEIGHT.fullmatch("q=1")]
        if found[0]:
            yield media_range.lower(), float(found[0][1])


def _weigh(media_type: str, ranges: list[tuple[str, float]]) -> float:
    exactness = {"*/*": _ANY, f"{media_type.partition('/')[0]}/*": _ANY_SUBTYPE, media_type: _EXACT}
    matching = [(exactness[media_range], weight) for media_range, weight in ranges if media_range in exactness]
    return max(matching, default=(_ANY, 0.0))[1]
