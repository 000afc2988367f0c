"""The tables of Optuna's database storage, as far as statements of our own touch them."""

from __future__ import annotations

import sqlalchemy as sql
from optuna.trial import TrialState

from lstm_tune.errors import StudyError

TESTED = (12,)  # versions of Optuna's schema that the tests have seen

STUDIES = sql.table("studies", sql.column("study_id"))
TRIALS = sql.table(
    "trials",
    sql.column("trial_id"),
    sql.column("number"),
    sql.column("study_id"),
    sql.column("state", sql.Enum(TrialState, name="trialstate")),
    sql.column("datetime_start", sql.DateTime()),  # in UTC, without a zone
    sql.column("datetime_complete", sql.DateTime()),
)
PARAMS = sql.table(
    "trial_params",
    sql.column("param_id"),
    sql.column("trial_id"),
    sql.column("param_name", sql.String()),
    sql.column("param_value", sql.Float()),
    sql.column("distribution_json", sql.Text()),
)
VALUES = sql.table(
    "trial_values",
    sql.column("trial_id"),
    sql.column("objective"),
    sql.column("value", sql.Float()),
    sql.column("value_type", sql.Enum("FINITE", "INF_POS", "INF_NEG", name="trialvaluetype")),
)
REPORTS = sql.table(
    "trial_intermediate_values",
    sql.column("trial_id"),
    sql.column("step"),
    sql.column("intermediate_value", sql.Float()),
    sql.column(
        "intermediate_value_type", sql.Enum("FINITE", "INF_POS", "INF_NEG", "NAN", name="trialintermediatevaluetype")
    ),
)
HEARTBEATS = sql.table("trial_heartbeats", sql.column("trial_id"), sql.column("heartbeat", sql.DateTime()))


def _attributes(table: str, owner: str) -> sql.TableClause:
    return sql.table(table, sql.column(owner), sql.column("key", sql.String()), sql.column("value_json", sql.Text()))


TRIAL_USER = _attributes("trial_user_attributes", "trial_id")
TRIAL_SYSTEM = _attributes("trial_system_attributes", "trial_id")
STUDY_SYSTEM = _attributes("study_system_attributes", "study_id")


def check_schema(connection: sql.Connection) -> None:
    """Refuse a schema that the tests have not seen: a statement might mean something else there.

    Raises:
        StudyError: says which version the database has.
    """
    version = connection.execute(sql.text("select schema_version from version_info")).scalar()
    if version not in TESTED:
        known = ", ".join(map(str, TESTED))
        raise StudyError(
            f"the database has version {version} of Optuna's schema, but lstm-tune knows {known} alone; "
            f"install the Optuna that lstm-tune asks for, or use another database"
        )
