"""English words that questions about records use, and what they mean for a filter."""

import re
from functools import lru_cache

from src.audits.constants import ActorType, AuditStatus

# Words that do not say which records are meant.
_FILLERS = """
    a about all am an and any anyone anything are as at audit audits be been being both by can could did do does doing
    done during either else entries entry event events ever every everybody everyone everything exactly find for
    from gave get give given go had happen happened happening happens has have having he her here him his how i if in
    into is it its kindly know let like list log logs look made make many may me might must my need of off on only or
    our out please record recorded records s see seen shall she should show so some somebody someone something such tell
    than that the their them then there these they thing things this those to took trail up us want wanted was we well
    went were what when where whether which who whom whose why will with within would you your actions action activities
    activity return display search place ones one now themselves itself far still hi hello thanks thank provide report
    enumerate retrieve fetch state specify name named called belong belongs belonged belonging concern concerning regard
    regarding relate related relating contain contains containing begin begins perform performed performs carried carry
    occur occurred occurs operation operations whatever involve involved involving affect affected affecting inside
    against but also just tried try tries attempt attempted attempts
"""
# Words that say how to list records, which no filter can.
_WISHES = """
    sort sorted ordered group grouped count number total sum average newest oldest latest earliest first last top bottom
    largest smallest biggest most least more less per except excluding without not no never other unless compare trend
"""
# Common words of other languages that are no English words.
_FOREIGN = """
    der das und von dem den ist nicht wer welche welcher welches hat haben wurde wurden alle zeige le les des du est qui
    quels quelles quoi que los las el del por para quien cuales il lo gli che chi da wat wie zijn het een och som jak
    kto co
"""
FILLERS = frozenset(_FILLERS.split())
FOREIGN = frozenset(_FOREIGN.split())
_KNOWN = FILLERS | {*_WISHES.split()}

# Each line: words that mean the same in the name of an action.
_SYNONYMS = tuple(
    frozenset(line.split())
    for line in """
    create add new make made open insert register generate issue
    update change modify edit alter adjust set
    delete remove erase destroy purge drop
    read view see saw seen look access open fetch get
    login logon signin log logged sign signed
    logout logoff signout log logged sign signed
    pay paid payment
    send sent
    write wrote written
    export download
    import upload
    approve approval accept grant
    reject deny denied decline refuse
    cancel cancellation
    """.strip().splitlines()
)


_NOT = r"(?: not|n['\u2019]t)"


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.-])(?:{' '.join(pattern.split())})(?![-.:/]?\w)", re.IGNORECASE)


# What a question says that asks for a status, or for a kind of actor.
MEANINGS = {
    AuditStatus.FAILURE: _words(
        r"fail\w*|error\w*|unsuccessful\w*|den(?:y|ied|ials?)|refus\w*|reject\w*"
        rf"|could{_NOT}|can(?:not|['\u2019]t)|(?:did|was|were){_NOT} (?:work|able|succe|go through|manage)\w*"
        r"|unable|broke|crash\w*"
        r"|(?:go|goes|went|gone) wrong|problems?|trouble|blocked|forbidden|in vain"
    ),
    AuditStatus.SUCCESS: _words(r"succe\w*|complet\w*|(?:go|goes|went) through|worked|passed|fine|okay|ok|managed to"),
    AuditStatus.PENDING: _words(
        r"pending|waiting|unfinished|in progress|outstanding|incomplete|unresolved|ongoing|queued|open"
        r"|(?:not|n['\u2019]t) (?:yet )?(?:done|finished|complete\w*|decided)|still running"
    ),
    ActorType.USER: _words(r"users?|people|persons?|humans?|employees?|staff|colleagues?"),
    ActorType.SYSTEM: _words(r"systems?|automat\w*|cron\w*|schedul\w*|by itself"),
    ActorType.SERVICE: _words(r"services?|bots?|robots?|integrations?|machines?|daemons?|workers?|jobs?|apps?|apis?"),
    ActorType.ANONYMOUS: _words(
        r"anonym\w*|unauthenticated|guests?|visitors?|unknown"
        r"|(?:not|without) (?:being )?(?:logged|signed|logging|signing) ?in"
    ),
}
# Words that name fields, and neither things nor what was done to them.
FIELDS = {
    "details",
    "detail",
    "status",
    "source",
    "actor",
    "actors",
    "entity",
    "correlation",
    "id",
    "ids",
    "type",
    "kind",
}
# Words beside a value that only say which field it belongs to.
NAMES_OF_FIELDS = {
    "action": {"action", "actions", "type"},
    "entity_type": {"entity", "entities", "type", "kind"},
    "entity_id": {"entity", "id", "object"},
    "actor_type": {"actor", "actors", "type"},
    "actor_id": {"actor", "user", "account", "person", "id"},
    "status": {"status", "result", "outcome", "state"},
    "correlation_id": {"correlation", "request", "trace", "id"},
    "source": {"source", "system", "producer"},
    "event_id": {"event", "id"},
    "details": {"detail", "details"},
}
# What says that a value stands in a field, by its name. "Show the details of an invoice" asks for none.
SAYS_FIELD = {
    "correlation_id": _words("correlation"),
    "source": re.compile(r"\bsource\s+(?:is\s+)?['\"]?\w+[:/.]\S", re.IGNORECASE),
    "event_id": _words("event id"),
    "actor_type": re.compile(r"\bactors?(?:\s+\S+)?\s+of (?:the )?type\b", re.IGNORECASE),
    "details": re.compile(r"\bdetails?\s+[\w.-]+\s*[=:]|\bin the details?\b", re.IGNORECASE),
}
# Before a word by which records are to be grouped or sorted: that is no condition.
GROUPS_BY = re.compile(r"\b(?:group|sort|order|count|total|sum)\w*(?: \w+){0,3} (?:by|per)(?: the)?\s*$", re.IGNORECASE)
BEFORE_ACTORS = {"actor", "user", "account", "person", "by", "did", "has", "from", "service", "of"}
# How else a model writes a value of an enumeration.
SPELLINGS = {
    AuditStatus.FAILURE: _words("fail(?:ed|ures?)?|errors?|unsuccessful"),
    AuditStatus.SUCCESS: _words("succe(?:eded|ss|ssful)|ok|completed"),
    AuditStatus.PENDING: _words("pending|in[ _]progress|waiting"),
    ActorType.USER: _words("users?|human|person|people"),
    ActorType.SYSTEM: _words("systems?"),
    ActorType.SERVICE: _words("services?|bots?"),
    ActorType.ANONYMOUS: _words("anonymous|guests?"),
}

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?|may(?= \\d)|(?<=\\d )may"
    # The month, and not the verb.
    "|(?<=in )may|(?<=of )may|(?<=since )may|(?<=from )may|(?<=to )may|(?<=until )may"
    "|(?<=before )may|(?<=after )may|(?<=by )may"
)
_DAYS = "(?:mon|tues|wednes|thurs|fri|satur|sun)days?"
_NUMBERS = "one|two|three|four|five|six|seven|eight|nine|ten|twelve|few"
_UNITS = "(?:second|minute|hour|day|week|weekend|fortnight|month|quarter|year)s?"
# What says when: words that name a time, and then words that mean one only beside these.
TIMES = _words(
    rf"{_MONTHS}|{_DAYS}|{_UNITS}|\d+ ?(?:s|min|h|d|w)|\d{{4}}-\d\d(?:-\d\d)?(?:[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?"
    r"(?:Z|[+-]\d\d:\d\d)?)?|\d{1,2}[./]\d{1,2}[./](?:\d{4}|\d\d)|\d{1,2}:\d\d(?::\d\d)?|\d{1,2} ?[ap]\.?m"
    r"|(?:19|20)\d\d|q[1-4]|today|yesterday|tonight|midnight|noon|mornings?|afternoons?|evenings?|nights?|recent(?:ly)?"
    r"|lately|ago|so far|until now"
)
TODAY = _words("today|this day|so far today")
TIME_HELPERS = _words(
    r"last|latest|past|previous|current|this|since|before|after|until|till|between|and|through|to|from|earlier|later|than"
    r"|older|newer|first|end|start|beginning|half|early|late|utc|gmt|z|\d{1,2}(?:st|nd|rd|th)?"
    rf"|whole|entire|of|couple|inclusive|included?|period|range|window|{_NUMBERS}"
)
# What only says when where a time follows: "by u-17" and "from u-17" say who.
_SOME_TIME = (
    rf"(?:the )?(?:start|beginning|end|noon|midnight|now|today|yesterday|{_MONTHS}|{_DAYS}|\d{{4}}-\d\d"
    r"|\d{1,2}:\d\d|\d{1,2}(?:st|nd|rd|th)?(?: of)? [a-z]{3,9}|\d{1,2} ?[ap]\.?m|(?:19|20)\d\d)"
)
# A time that has a start and no end, as in "since May"; one that has an end and no start.
ONLY_START = _words(
    rf"from {_SOME_TIME}|since|after|starting|newer|later|ago|within|onwards?|so far|until now|today|recent(?:ly)?"
    "|lately"
    rf"|this {_UNITS}|(?:last|past|previous) (?:\d+|{_NUMBERS}|couple of) ?{_UNITS}"
    rf"|past {_UNITS}|last (?:hour|minute)|last \d+ ?(?:s|min|h|d|w)"
)
ONLY_END = _words(rf"by {_SOME_TIME}|before|until|till|older|up to|prior to|earlier")
# What names the end, or the start, of a time also where other words name its other end.
NEEDS_END = _words(rf"(?:to|through) {_SOME_TIME}|before|until(?! now)|till|up to|prior to")
NEEDS_START = _words(rf"(?:from|between) {_SOME_TIME}|since|after|starting")

_ANY = (*MEANINGS.values(), TIMES)


def is_known(word: str) -> bool:
    return word.casefold() in _KNOWN or any(pattern.fullmatch(word) for pattern in _ANY)


@lru_cache(1024)
def is_same_word(first: str, second: str) -> bool:
    """Compare words of names of actions, in lower case: by stem, or as synonyms."""
    return has_same_stem(first, second) or any(
        any(has_same_stem(first, word) for word in words) and any(has_same_stem(second, word) for word in words)
        for words in _SYNONYMS
    )


def has_same_stem(first: str, second: str) -> bool:
    """Return whether only endings differ: update and updating, pay and payment, delete and deletion."""
    if first == second:
        return True
    shorter, longer = sorted((len(first), len(second)))
    shared = next((n for n, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), shorter)
    return shared >= 3 and longer - shared <= 4 and shorter - shared <= (2 if shared > 3 else 0)
