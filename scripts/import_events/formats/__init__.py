"""The formats by name. A new one is one more file with its table, and a line here."""

from scripts.import_events.formats import (
    auth0,
    azure_activity,
    cloudevents,
    cloudtrail,
    export,
    github,
    google_cloud,
    kubernetes,
    ocsf,
    okta,
)
from scripts.import_events.mapping import Format

FORMATS: dict[str, Format] = {
    "cloudtrail": cloudtrail.FORMAT,
    "github": github.FORMAT,
    "kubernetes": kubernetes.FORMAT,
    "okta": okta.FORMAT,
    "google-cloud": google_cloud.FORMAT,
    "azure-activity": azure_activity.FORMAT,
    "auth0": auth0.FORMAT,
    "ocsf": ocsf.FORMAT,
    "cloudevents": cloudevents.FORMAT,
    "export": export.FORMAT,
}
