"""`python -m scripts.openapi [--check]`: write tests/openapi.json as the service serves it, or compare them."""

import json
import sys
from pathlib import Path

from pydantic import SecretStr

from src.ai.config import AISettings
from src.audits.config import AuditSettings
from src.config import AppSettings, DatabaseSettings
from src.ledger.config import LedgerSettings
from src.main import create_app
from src.settings import Settings

CONTRACT = Path(__file__).resolve().parent.parent / "tests" / "openapi.json"


def render() -> str:
    """The document with default settings: the developer's environment must not change the contract."""
    app = create_app(
        Settings(
            app=AppSettings.model_construct(),
            database=DatabaseSettings.model_construct(database_url=SecretStr("")),
            audits=AuditSettings.model_construct(),
            ledger=LedgerSettings.model_construct(),
            ai=AISettings.model_construct(),
        )
    )
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    if "--check" not in sys.argv:
        CONTRACT.write_text(render())
        return
    if not CONTRACT.exists() or CONTRACT.read_text() != render():
        sys.exit("tests/openapi.json is not what the service serves: run make openapi and review the difference")
    print("tests/openapi.json is in step with the service")


if __name__ == "__main__":
    main()
