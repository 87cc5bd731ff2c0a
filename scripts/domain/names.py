"""The two names of a domain: which are possible, and how each is spelled."""

import builtins
import keyword
import re
import sys
from dataclasses import dataclass
from typing import Self

from pluralizer import Pluralizer
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

MAX_LENGTH = 28  # with which no line of prose in the template, that no formatter breaks, grows too long

# SQLAlchemy quotes its words; these it does not know, and the raw SQL of src/migrations.py quotes none.
SQL_WORDS = RESERVED_WORDS | {"collation", "concurrently", "lateral", "system_user", "tablesample"}
# A name that PostgreSQL finds in its own catalogue first, and one that Alembic creates.
_TABLES_OF_OTHERS = re.compile(r"pg_.*|alembic_version")
_FORM = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_words = Pluralizer()  # type: ignore[no-untyped-call]  # it says that it is typed, and is nearly


class Refused(SystemExit):
    """Ends the command with one line. Nothing has been written."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"domain: {reason}")


@dataclass(frozen=True)
class Names:
    """`plural` names the folder and, with hyphens, the path; `singular` the table and, in CamelCase, the classes."""

    plural: str
    singular: str

    @classmethod
    def choose(cls, plural: str, singular: str = "") -> Self:
        """Raises `Refused`."""
        if not plural:
            raise Refused("usage: make domain name=invoices [singular=invoice]")
        _check(plural)
        if plural in sys.stdlib_module_names:
            raise Refused(f"{plural} is a module of Python's own library: choose another")
        singular = singular or _singular_of(plural)
        _check(singular)
        if singular == plural:
            raise Refused(f"{plural} names one as well as many: make domain name={plural} singular=...")
        return cls(plural, singular)

    @property
    def path(self) -> str:
        return self.plural.replace("_", "-")

    def spellings(self) -> list[str]:
        """Each way in which they are written, the plural first, in which the singular can be found."""
        prose = self.plural.replace("_", " ")
        return [
            *(self.plural, self.path, prose, prose.capitalize(), self.plural.upper()),
            *(self.singular, self.singular.replace("_", "-"), self.singular.replace("_", " "), _camel(self.singular)),
        ]


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _check(name: str) -> None:
    if not _FORM.fullmatch(name):
        raise Refused(f"{name!r} is no name for it: lower-case words joined by underscores are, e.g. purchase_orders")
    if len(name) > MAX_LENGTH:
        raise Refused(f"{name} has more than {MAX_LENGTH} characters")
    for spelling in (name, _camel(name)):
        if keyword.iskeyword(spelling) or hasattr(builtins, spelling):
            raise Refused(f"{spelling} is a word of Python: choose another, or make domain name=... singular=...")
    if name in SQL_WORDS:
        raise Refused(f"{name} is a reserved word of SQL: choose another, or make domain name=... singular=...")
    if _TABLES_OF_OTHERS.fullmatch(name):
        raise Refused(f"{name} is for a table of PostgreSQL or Alembic: choose another")
    if name.split("_")[0] == "test":
        raise Refused(f"{name}: pytest takes for a test whatever begins with test: choose another")


def _singular_of(plural: str) -> str:
    *before, last = plural.split("_")
    if not _words.is_plural(last):
        many = "_".join([*before, _words.plural(last)])
        raise Refused(f"{plural} is no plural: make domain name={many}, or name both: name={plural} singular=...")
    return "_".join([*before, _words.singular(last)])
