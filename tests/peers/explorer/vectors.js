// What the Python implementation says: tests/peers/test_explorer_modules.py writes the file.

import { readFileSync } from "node:fs";

export const vectors = JSON.parse(readFileSync(process.env.VECTORS, "utf8"));
