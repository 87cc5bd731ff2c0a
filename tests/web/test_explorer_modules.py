"""The modules of the explorer's page, joined into a few."""

import shutil
import subprocess
from pathlib import Path

import pytest

from src.web.explorer_modules import join

MODULES = {
    "main.js": 'import { a, b as c } from "./one.js";\nimport {\n  Two,\n  later,\n} from "./two.js";\nconst x = 1;\n'
    "console.log(JSON.stringify([a, c(), new Two().name, await later(), x]));",
    "one.js": 'import lib from "./vendor/lib.js";\nimport { x } from "./two.js";\nconst y = x + lib;\n'
    "export const a = y;\nexport function b() {\n  return y * 2;\n}",
    "two.js": 'const y = 10;\nexport const x = y;\nclass Two { name = "two" }\nexport { Two };\n'
    "export async function later() {\n  return y;\n}",
}


def test_joined_modules_do_what_they_do_apart(tmp_path: Path) -> None:
    """What has the same name in two modules stays two things."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not there")
    # The entry waits for a promise, as a function that is called once cannot.
    modules = MODULES | {"main.js": MODULES["main.js"].replace("await later()", "typeof later")}
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "lib.js").write_text("export default 5;")
    (tmp_path / "joined.mjs").write_text(join(modules, "main.js")["main.js"])
    (tmp_path / "package.json").write_text('{"type": "module"}')
    done = subprocess.run([node, "joined.mjs"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ('[15,30,"two","function",1]', "")


def test_modules_come_behind_those_that_they_need_and_each_once() -> None:
    joined = join(MODULES, "main.js")["main.js"]
    order = [line.removeprefix("// ") for line in joined.splitlines() if line.startswith("// ")]
    assert order == ["two.js", "one.js", "main.js"]
    assert joined.startswith('import lib from "./vendor/lib.js";\n')


SPLIT = {
    "main.js": 'import { counter } from "./counter.js";\ncounter.count += 1;\n'
    'import("./later.js").then(({ show }) => show("at last"));',
    "counter.js": "export const counter = { count: 0 };",
    "later.js": 'import { counter } from "./counter.js";\nimport { write } from "./write.js";\n'
    "const show = (text) => write([text, counter.count]);\nexport { show };",
    "write.js": "export const write = (value) => console.log(JSON.stringify(value));",
}


def test_what_is_loaded_later_shares_what_the_first_has(tmp_path: Path) -> None:
    joined = join(SPLIT, "main.js", "later.js")
    order = {
        name: [line.removeprefix("// ") for line in text.splitlines() if line.startswith("// ")]
        for name, text in joined.items()
    }
    assert order == {"main.js": ["counter.js", "main.js"], "later.js": ["write.js", "later.js"]}
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not there")
    for name, text in joined.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    done = subprocess.run([node, "main.js"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ('["at last",1]', "")


def test_what_the_first_imports_cannot_be_loaded_later() -> None:
    with pytest.raises(ValueError, match=r"counter\.js is not loaded later: main\.js imports it"):
        join(SPLIT, "main.js", "later.js", "counter.js")


def test_what_is_no_entry_cannot_be_loaded_later() -> None:
    with pytest.raises(ValueError, match="cannot be joined"):
        join(SPLIT, "main.js")


@pytest.mark.parametrize(
    "text",
    [
        'import "./two.js";',
        'import * as two from "./two.js";',
        'export * from "./two.js";',
        "export default 1;",
        "export let a = 1;",
        "export { a as b };",
        'const two = await import("./two.js");',
        "const here = import.meta.url;",
        'import { x } from "./two.js"',
        'import { x } from "two";',
    ],
)
def test_what_cannot_be_joined_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot be joined"):
        join({"main.js": text, "two.js": "export const x = 1;"}, "main.js")


def test_a_circle_is_refused() -> None:
    circle = {"a.js": 'import { b } from "./b.js";', "b.js": 'import { a } from "./a.js";'}
    with pytest.raises(ValueError, match=r"a\.js -> b\.js -> a\.js"):
        join(circle, "a.js")
