#!/bin/sh
# FastAPI 0.165.0 splits a model whose schema differs between requests and answers into `Item-Input` and `Item-Output`,
# and gives both the title `Item`. openapi-python-client 0.29.1 names classes by titles: it says "duplicate models",
# leaves out the second, and whatever answers with it. A title of its own for each, and nothing is left out.
#
# Seen: titles {'Item-Input': 'Item', 'Item-Output': 'Item'}
#       generated: ['item.py'], duplicates: 1
#       with titles of their own: ['item_input.py', 'item_output.py'], duplicates: 0
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    fastapi==0.165.0 pydantic==2.14.3 openapi-python-client==0.29.1
cat > "$folder/generate.py" <<'PYTHON'
import json
import pathlib
import subprocess
import sys

from fastapi import FastAPI
from pydantic import BaseModel, computed_field


class Item(BaseModel):
    name: str

    @computed_field
    def length(self) -> int:
        return len(self.name)


app = FastAPI()


@app.put("/")
def write(item: Item) -> Item:
    return item


def generate(document: dict, folder: str) -> str:
    pathlib.Path("openapi.json").write_text(json.dumps(document))
    program = pathlib.Path(sys.executable).with_name("openapi-python-client")
    command = (program, "generate", "--path", "openapi.json", "--meta", "none", "--output-path", folder)
    made = subprocess.run(command, capture_output=True, text=True)
    files = sorted(path.name for path in pathlib.Path(folder, "models").glob("item*.py"))
    return f"{files}, duplicates: {(made.stdout + made.stderr).count('duplicate models')}"


document = app.openapi()
items = {name: schema for name, schema in document["components"]["schemas"].items() if name.startswith("Item")}
print("titles", {name: schema["title"] for name, schema in items.items()})
print("generated:", generate(document, "one"))
for name, schema in items.items():
    schema["title"] = name.replace("-", "")
print("with titles of their own:", generate(document, "two"))
PYTHON
cd "$folder"
seen=$(PATH="$folder/venv/bin:$PATH" "$folder/venv/bin/python" generate.py)
echo "$seen"
expected="titles {'Item-Input': 'Item', 'Item-Output': 'Item'}
generated: ['item.py'], duplicates: 1
with titles of their own: ['item_input.py', 'item_output.py'], duplicates: 0"
test "$seen" = "$expected" || { echo "this has changed" >&2; exit 1; }
