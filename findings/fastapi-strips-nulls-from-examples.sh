#!/bin/sh
# FastAPI 0.165.0 leaves nulls out of the examples of a model, so that an example breaks the schema that it illustrates:
# `app.openapi()` encodes the whole document with `exclude_none=True`, what `json_schema_extra` holds included.
# Pydantic's own schema of the same model keeps them.
#
# Seen: pydantic [{'name': 'a', 'parent': None}]
#       fastapi  [{'name': 'a'}] of a schema that requires ['name', 'parent']
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fastapi==0.165.0 pydantic==2.14.3
cat > "$folder/shown.py" <<'PYTHON'
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict


class Folder(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "a", "parent": None}]})

    name: str
    parent: str | None


app = FastAPI()


@app.get("/")
def read() -> Folder:
    return Folder(name="a", parent=None)


served = app.openapi()["components"]["schemas"]["Folder"]
print("pydantic", Folder.model_json_schema()["examples"])
print("fastapi ", served["examples"], "of a schema that requires", served["required"])
PYTHON
seen=$("$folder/venv/bin/python" "$folder/shown.py")
echo "$seen"
expected="pydantic [{'name': 'a', 'parent': None}]
fastapi  [{'name': 'a'}] of a schema that requires ['name', 'parent']"
test "$seen" = "$expected" || { echo "this has changed" >&2; exit 1; }
