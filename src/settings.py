"""All settings of the process, which are validated together. Each domain declares its own in its `config.py`."""

from dataclasses import dataclass
from typing import Self, TypeVar

from src.ai.config import AISettings
from src.audits.config import AuditSettings
from src.config import AppSettings, DatabaseSettings, EnvironmentSettings
from src.ledger.config import LedgerSettings

SettingsT = TypeVar("SettingsT", bound=EnvironmentSettings)


@dataclass(frozen=True)
class Settings:
    app: AppSettings
    database: DatabaseSettings
    audits: AuditSettings
    ledger: LedgerSettings
    ai: AISettings

    @classmethod
    def load(cls, *given: EnvironmentSettings) -> Self:
        """Read the settings that are not `given`. Raises `SystemExit` with one line if one of them is invalid."""

        def resolve(kind: type[SettingsT]) -> SettingsT:
            return next((settings for settings in given if isinstance(settings, kind)), None) or kind.load()

        return cls(
            app=resolve(AppSettings),
            database=resolve(DatabaseSettings),
            audits=resolve(AuditSettings),
            ledger=resolve(LedgerSettings),
            ai=resolve(AISettings),
        )
