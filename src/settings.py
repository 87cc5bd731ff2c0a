"""All settings of the process, read and validated once. Each domain's are beside its code."""

from dataclasses import dataclass
from typing import Self, TypeVar

from src.ai.config import AISettings
from src.audits.config import AuditSettings
from src.config import AppSettings, DatabaseSettings, EnvironmentSettings

SettingsT = TypeVar("SettingsT", bound=EnvironmentSettings)


@dataclass(frozen=True)
class Settings:
    app: AppSettings
    database: DatabaseSettings
    audits: AuditSettings
    ai: AISettings

    @classmethod
    def load(cls, *given: EnvironmentSettings) -> Self:
        """Read those that are not `given`. Ends the process with one line (`SystemExit`) if one is malformed."""

        def resolve(kind: type[SettingsT]) -> SettingsT:
            return next((settings for settings in given if isinstance(settings, kind)), None) or kind.load()

        return cls(
            app=resolve(AppSettings),
            database=resolve(DatabaseSettings),
            audits=resolve(AuditSettings),
            ai=resolve(AISettings),
        )
