"""The modules of the explorer's page, joined into one."""

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
    (tmp_path / "joined.mjs").write_text(join(modules, "main.js"))
    (tmp_path / "package.json").write_text('{"type": "module"}')
    done = subprocess.run([node, "joined.mjs"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ('[15,30,"two","function",1]', "")


def test_modules_come_behind_those_that_they_need_and_each_once() -> None:
    joined = join(MODULES, "main.js")
    order = [line.removeprefix("// ") for line in joined.splitlines() if line.startswith("// ")]
    assert order == ["two.js", "one.js", "main.js"]
    assert joined.startswith('import lib from "./vendor/lib.js";\n')


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
