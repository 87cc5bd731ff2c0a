"""Joins the modules of the explorer's page into a few, so that a browser asks for these in place of forty.

Each module becomes a function that is called once, in the order in which they need each other, and returns what the
module exports. Modules are written in a part of JavaScript that makes this simple: one line or one pair of braces for
an import, `export` before a declaration, no circle. `join` refuses what is not. The libraries stay files of their own.
What is loaded later, by `import("./NAME")`, is an entry of its own, and takes from the first what that has already.

Joined, the page takes 7 requests and 55 KB on the wire. As single files it took 42 and 90 KB, a third of them headers.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

_IMPORT = re.compile(r'^import (?P<what>\w+|\{[^}]*\}) from "\./(?P<name>[\w./-]+)";$', re.MULTILINE)
_LATER_IMPORT = re.compile(r'\bimport\("\./(?P<name>[\w./-]+)"\)')
_DECLARATION = re.compile(r"^export (?=(?:const|class|function|async function) (?P<name>\w+))", re.MULTILINE)
_LIST = re.compile(r"^export \{(?P<names>(?:\s*\w+\s*,)*\s*(?:\w+\s*)?)\};$", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*|.*\b(?:import\(|import\.meta)", re.MULTILINE)


def join(modules: Mapping[str, str], first: str, *later: str) -> dict[str, str]:
    """The module `first` with all that it imports, and each of `later` with what the first has not.

    Raises `ValueError` for what cannot be joined.
    """
    order: list[str] = []
    parts: dict[str, list[str]] = {}
    for entry in (first, *later):
        if entry in order:
            raise ValueError(f"{entry} is not loaded later: {first} imports it")
        begun = len(order)
        _visit(entry, modules, order, ())
        parts[entry] = order[begun:]
    names = {name: f"m{number}" for number, name in enumerate(order)}
    wrapped = {name: _wrap(name, modules, names, later) for name in order}
    shared = {entry: _shared(parts[entry], parts[first], modules, names) for entry in later}
    joined = {}
    for entry, part in parts.items():
        head = dict.fromkeys(line for name in part for line in _library_imports(modules[name], modules))
        if shared.get(entry):
            head[f'import {{ {", ".join(shared[entry])} }} from "./{first}";'] = None
        exported = _exported(modules[entry])
        tail = [f"export const {{ {', '.join(exported)} }} = {names[entry]};"] if exported else []
        if entry == first and (wanted := {name: None for each in shared.values() for name in each}):
            tail.append(f"export {{ {', '.join(wanted)} }};")
        joined[entry] = "\n".join([*head, *(wrapped[name] for name in part), *tail, ""])
    return joined


def _shared(
    part: Iterable[str], first: Iterable[str], modules: Mapping[str, str], names: Mapping[str, str]
) -> list[str]:
    imported = {found["name"] for name in part for found in _IMPORT.finditer(modules[name])}
    return [names[name] for name in first if name in imported]


def _visit(name: str, modules: Mapping[str, str], order: list[str], path: tuple[str, ...]) -> None:
    if name in path:
        raise ValueError(f"modules import each other in a circle: {' -> '.join((*path, name))}")
    if name in order:
        return
    for found in _IMPORT.finditer(modules[name]):
        if found["name"] in modules:
            _visit(found["name"], modules, order, (*path, name))
    order.append(name)


def _library_imports(text: str, modules: Mapping[str, str]) -> Iterator[str]:
    return (found[0] for found in _IMPORT.finditer(text) if found["name"] not in modules)


def _exported(text: str) -> list[str]:
    names = [found["name"] for found in _DECLARATION.finditer(text)]
    return names + [
        each.strip() for found in _LIST.finditer(text) for each in found["names"].split(",") if each.strip()
    ]


def _wrap(name: str, modules: Mapping[str, str], names: Mapping[str, str], later: Collection[str]) -> str:
    text = modules[name]

    def write_import(found: re.Match[str]) -> str:
        if found["name"] not in names:
            return ""
        # What an import calls `a as b`, a pattern calls `a: b`.
        return f"const {found['what'].replace(' as ', ': ')} = {names[found['name']]};"

    body = _LIST.sub("", _DECLARATION.sub("", _IMPORT.sub(write_import, text)))
    rest = _LATER_IMPORT.sub(lambda found: "" if found["name"] in later else found[0], body)
    if left := _LEFT.search(rest):
        raise ValueError(f"{name} has what cannot be joined: {left[0]}")
    return f"// {name}\nconst {names[name]} = (() => {{\n{body}\nreturn {{ {', '.join(_exported(text))} }};\n}})();"
