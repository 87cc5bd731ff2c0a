"""Where a question stops asking for records and gives the model orders.

A question may hold text that somebody else wrote. What stands behind an order to the model is not what the caller asks
for, so no value is taken from there. No list of such texts is whole: the other guards do not depend on this one.
"""

import re

_ORDER = re.compile(
    # "Ignore all previous instructions", also in other languages.
    r"\b(?:ignore|disregard|forget|override)\s+(?:(?:all|any|of|the|these|your|my)\s+)*"
    r"(?:previous|prior|earlier|preceding|above|instructions?|prompts?|schema)\b"
    r"|\b(?:ignoriere|vergiss|ignora|olvida|ignorez|oubliez?|dimentica)\s+"
    r"(?:alles?|alle|die|das|las?|los?|les?|toutes?|tutt[eo]|gli|il)\b"
    r"|忽略|无视|無視|игнорируй|забудь|تجاهل"
    # What only a model has, or is told.
    r"|\b(?:your|system|previous)\s+(?:instructions?|prompts?)\b|\bnew\s+instructions?\s*:|\byou\s+are\s+now\b"
    r"|\bI\s+order\s+you\b|\bdo\s+what\s+the\s+following\b|\brepeat\s+the\s+(?:text|words)\b"
    r"|\bset\s+(?:[a-z]+_(?:id|type|from|to)|details|action|status)\s+to\b"
    # What separates the parts of a conversation, or of a prompt.
    r"|</[a-z_]+>|<\|[a-z_]+\|>|<[a-z_]+\s[^<>]*>|\[/?INST\]|(?<!\S)#{2,}\s|\{\s*\"role\""
    r"|(?<=[.!?\n]\s)(?:system|assistant|human|developer):\s",
    re.IGNORECASE,
)


def start_of_orders(text: str) -> int:
    """Return where the first order begins, or the length of the text."""
    match = _ORDER.search(text)
    return match.start() if match else len(text)
