"""The plural and the singular name of a domain: which are allowed, and their spellings."""

import builtins
import keyword
import re
import sys
from dataclasses import dataclass
from typing import Self

from pluralizer import Pluralizer

MAX_LENGTH = 28  # with a longer name, lines of comments in the template would get too long

# PostgreSQL would look such names up in its own catalogue first; Alembic creates the last one.
_RESERVED_TABLES = re.compile(r"pg_.*|alembic_version")
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_pluralizer = Pluralizer()  # type: ignore[no-untyped-call]  # the package has a py.typed file, but this is not annotated


class Refused(SystemExit):
    """Ends the command with one line. Nothing has been written."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"domain: {reason}")


@dataclass(frozen=True)
class Names:
    """The names of a domain.

    `plural` is the name of the folder and, with hyphens, the path. `singular` is the name of the table and, in
    CamelCase, of the classes.
    """

    plural: str
    singular: str

    @classmethod
    def choose(cls, plural: str, singular: str = "") -> Self:
        """The names, with a singular that is derived if it is not given. Raises `Refused` if one is not allowed."""
        if not plural:
            raise Refused("usage: make domain name=invoices [singular=invoice]")
        _refuse_invalid(plural)
        if plural in sys.stdlib_module_names:
            raise Refused(f"{plural} is a module of Python's own library: choose another")
        singular = singular or _singular_of(plural)
        _refuse_invalid(singular)
        if singular == plural:
            raise Refused(f"{plural} names one as well as many: make domain name={plural} singular=...")
        return cls(plural, singular)

    @property
    def path(self) -> str:
        return self.plural.replace("_", "-")

    def spellings(self) -> list[str]:
        """Every spelling of both names. The plural ones come first, since they contain the singular ones."""
        prose = self.plural.replace("_", " ")
        return [
            *(self.plural, self.path, prose, prose.capitalize(), self.plural.upper()),
            *(
                self.singular,
                self.singular.replace("_", "-"),
                self.singular.replace("_", " "),
                _camel_case(self.singular),
            ),
        ]


def _camel_case(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def sql_words() -> set[str]:
    """The reserved words of SQL. SQLAlchemy quotes those that it knows, and not the others; src/migrations.py, none."""
    # Imported here, so that `make domain` refuses an impossible name at once.
    from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

    return RESERVED_WORDS | {"collation", "concurrently", "lateral", "system_user", "tablesample"}


def _refuse_invalid(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Refused(f"{name!r} is no name for it: lower-case words joined by underscores are, e.g. purchase_orders")
    if len(name) > MAX_LENGTH:
        raise Refused(f"{name} has more than {MAX_LENGTH} characters")
    for spelling in (name, _camel_case(name)):
        if keyword.iskeyword(spelling) or hasattr(builtins, spelling):
            raise Refused(f"{spelling} is a word of Python: choose another, or make domain name=... singular=...")
    if name in sql_words():
        raise Refused(f"{name} is a reserved word of SQL: choose another, or make domain name=... singular=...")
    if _RESERVED_TABLES.fullmatch(name):
        raise Refused(f"{name} is for a table of PostgreSQL or Alembic: choose another")
    if name.split("_")[0] == "test":
        raise Refused(f"{name}: pytest takes for a test whatever begins with test: choose another")


def _singular_of(plural: str) -> str:
    *before, last = plural.split("_")
    if not _pluralizer.is_plural(last):
        many = "_".join([*before, _pluralizer.plural(last)])
        raise Refused(f"{plural} is no plural: make domain name={many}, or name both: name={plural} singular=...")
    return "_".join([*before, _pluralizer.singular(last)])
