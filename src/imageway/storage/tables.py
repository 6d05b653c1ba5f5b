"""Every table, column, check and index, as SQLAlchemy Core says them: what migrations lead to and admin queries read.
Hot ops do not come by here, and neither does a warm start: importing this imports SQLAlchemy."""

from __future__ import annotations

from typing import Final

from sqlalchemy import CheckConstraint, Index, MetaData, Table
from sqlalchemy.schema import SchemaItem

from imageway.storage.columns import engine_options, octets, partial, seq, whole, within, words

METADATA: Final = MetaData()


def _table(name: str, *items: SchemaItem, clustered: bool = False) -> Table:
    return Table(name, METADATA, *items, **engine_options(clustered=clustered))


WORKSPACES: Final = _table(
    "workspaces",
    words("id", key=True),
    words("name"),
    whole("created_ms"),
    octets("settings"),
    whole("alert_below_usd_micros", optional=True),
    whole("alerted_ms", optional=True),
)
Index("workspaces_by_name", WORKSPACES.c.name, unique=True)
Index("workspaces_watched", WORKSPACES.c.id, **partial("alert_below_usd_micros IS NOT NULL"))
Index("workspaces_alerted", WORKSPACES.c.id, **partial("alerted_ms IS NOT NULL"))

MEMBERS: Final = _table(
    "members",
    words("workspace_id", key=True),
    words("name", key=True),
    words("role"),
    whole("created_ms"),
    within("members_role", column="role", accepted="owner admin member viewer"),
    clustered=True,
)

WALLETS: Final = _table(
    "wallets",
    words("workspace_id", key=True),
    whole("available"),
    whole("held"),
    whole("spent"),
    CheckConstraint("available >= 0", name="wallets_available"),
    CheckConstraint("held >= 0", name="wallets_held"),
    whole("topped_up"),
    whole("granted"),
    whole("adjusted"),
    CheckConstraint("spent >= 0", name="wallets_spent"),
    CheckConstraint("topped_up >= 0", name="wallets_topped_up"),
    CheckConstraint("granted >= 0", name="wallets_granted"),
    CheckConstraint("available + held + spent = topped_up + granted + adjusted", name="wallets_sum"),
    clustered=True,
)

TRANSFERS: Final = _table(
    "transfers",
    seq(),
    words("kind"),
    words("workspace_id", optional=True),
    words("task_id", optional=True),
    words("topup_id", optional=True),
    words("account"),
    whole("usd_micros"),
    whole("at_ms"),
    CheckConstraint("usd_micros >= 0", name="transfers_amount"),
)
Index("transfers_by_workspace", TRANSFERS.c.workspace_id, TRANSFERS.c.seq)
Index("transfers_by_topup", TRANSFERS.c.topup_id, unique=True, **partial("topup_id IS NOT NULL"))

HOLDS: Final = _table(
    "holds",
    words("task_id", key=True),
    words("workspace_id"),
    whole("usd_micros"),
    whole("captured"),
    words("state"),
    CheckConstraint("captured BETWEEN 0 AND usd_micros", name="holds_captured"),
    within("holds_state", column="state", accepted="open captured voided refunded"),
    clustered=True,
)

BUDGETS: Final = _table(
    "budgets",
    words("budget_id", key=True),
    words("period", key=True),
    whole("limit_usd_micros"),
    whole("used_usd_micros"),
    whole("window_ms"),
    CheckConstraint("used_usd_micros >= 0", name="budgets_used"),
    clustered=True,
)

KEYS: Final = _table(
    "keys",
    words("id", key=True),
    words("workspace_id"),
    words("name"),
    octets("digest"),
    words("hint"),
    words("models"),
    whole("created_ms"),
    whole("revoked_ms", optional=True),
    octets("scope"),
    whole("expires_ms"),
    words("root_id"),
    whole("signed"),
)
Index("keys_by_digest", KEYS.c.digest, unique=True)

ADMIN_KEYS: Final = _table(
    "admin_keys",
    words("id", key=True),
    words("name"),
    octets("digest"),
    words("hint"),
    words("role"),
    whole("created_ms"),
    whole("revoked_ms", optional=True),
    within("admin_keys_role", column="role", accepted="admin viewer"),
)
Index("admin_keys_by_digest", ADMIN_KEYS.c.digest, unique=True)

SIGNATURES: Final = _table("signatures", octets("digest", key=True), whole("until_ms"), clustered=True)
Index("signatures_by_end", SIGNATURES.c.until_ms)

CHANGES: Final = _table(
    "changes",
    seq(),
    words("actor"),
    words("action"),
    words("target"),
    octets("before"),
    octets("after"),
    whole("at_ms"),
)
Index("changes_by_target", CHANGES.c.target, CHANGES.c.seq)

PRICE_RULES: Final = _table(
    "price_rules",
    words("id", key=True),
    words("workspace_id"),
    words("models"),
    whole("multiplier_millionths"),
    whole("per_image_usd_micros"),
    octets("rows"),
    whole("from_ms"),
    whole("until_ms", optional=True),
    words("source"),
    whole("created_ms"),
)

SECRETS: Final = _table(
    "secrets",
    words("kind", key=True),
    words("holder_id", key=True),
    words("key_id"),
    octets("sealed"),
    whole("changed_ms"),
    clustered=True,
)

UPSTREAMS: Final = _table(
    "upstreams",
    words("id", key=True),
    words("provider"),
    octets("document"),
    whole("enabled"),
    whole("changed_ms"),
)

USAGE: Final = _table(
    "usage",
    seq(),
    words("request_id"),
    words("workspace_id"),
    words("key_id"),
    words("model"),
    words("outcome"),
    whole("n"),
    whole("delivered"),
    whole("price_usd_micros"),
    whole("cost_usd_micros"),
    octets("lines"),
    words("delivery"),
    words("owner"),
    words("upstream_id"),
    whole("at_ms"),
    whole("delivery_ms"),
    words("dialect"),
    words("operation"),
    words("offering"),
    words("size"),
    whole("input_text_tokens"),
    whole("input_image_tokens"),
    whole("output_text_tokens"),
    whole("output_image_tokens"),
    whole("queue_ms"),
    whole("upstream_ms"),
    whole("total_ms"),
    words("warnings"),
    words("error"),
    within("usage_outcome", column="outcome", accepted="succeeded failed cancelled unknown"),
    within("usage_delivery", column="delivery", accepted="undelivered delivered stored refunded none"),
)
Index("usage_by_request", USAGE.c.request_id, unique=True)
Index("usage_by_workspace", USAGE.c.workspace_id, USAGE.c.at_ms, USAGE.c.seq)
Index("usage_by_time", USAGE.c.at_ms, USAGE.c.seq)
Index("usage_by_key", USAGE.c.key_id, USAGE.c.at_ms, USAGE.c.seq)
Index("usage_by_model", USAGE.c.workspace_id, USAGE.c.model, USAGE.c.at_ms, USAGE.c.seq)
Index(
    "usage_by_outcome",
    USAGE.c.workspace_id,
    USAGE.c.outcome,
    USAGE.c.at_ms,
    USAGE.c.seq,
    **partial("outcome <> 'succeeded'"),
)
Index("usage_by_failure", USAGE.c.outcome, USAGE.c.at_ms, USAGE.c.seq, **partial("outcome <> 'succeeded'"))
Index("usage_undelivered", USAGE.c.owner, **partial("delivery = 'undelivered'"))

# By time first: what is written now lies together, whosever it is, and a question about days reads one stretch.
USAGE_SUMS: Final = _table(
    "usage_sums",
    whole("span_ms", key=True),
    whole("begin_ms", key=True),
    words("workspace_id", key=True),
    words("key_id", key=True),
    words("model", key=True),
    words("upstream_id", key=True),
    words("outcome", key=True),
    whole("requests"),
    whole("asked"),
    whole("delivered"),
    whole("price_usd_micros"),
    whole("refunded_usd_micros"),
    whole("cost_usd_micros"),
    whole("tokens"),
    whole("total_ms"),
    whole("upstream_ms"),
    clustered=True,
)

TASKS: Final = _table(
    "tasks",
    words("id", key=True),
    words("workspace_id"),
    words("key_id"),
    words("model"),
    words("state"),
    words("owner"),
    whole("fence"),
    octets("request"),
    octets("result"),
    whole("created_ms"),
    whole("deadline_ms"),
    whole("finished_ms", optional=True),
    whole("cancel_ms", optional=True),
    within("tasks_state", column="state", accepted="queued running succeeded failed cancelled unknown"),
)
Index("tasks_by_workspace", TASKS.c.workspace_id, TASKS.c.created_ms)
Index("tasks_running", TASKS.c.owner, **partial("state IN ('queued', 'running')"))
Index("tasks_queued", TASKS.c.workspace_id, TASKS.c.created_ms, TASKS.c.id, **partial("state = 'queued'"))
Index("tasks_marked", TASKS.c.owner, **partial("cancel_ms IS NOT NULL AND finished_ms IS NULL"))
Index("tasks_finished", TASKS.c.finished_ms, **partial("finished_ms > 0"))
Index("tasks_unknown", TASKS.c.finished_ms, **partial("state = 'unknown'"))

ATTEMPTS: Final = _table(
    "attempts",
    seq(),
    words("id"),
    words("task_id"),
    whole("part"),
    words("upstream_id"),
    words("offering"),
    words("state"),
    octets("memo"),
    words("detail"),
    whole("at_ms"),
    whole("deadline_ms"),
    whole("changed_ms"),
    within("attempts_state", column="state", accepted="submitted polling proved failed unknown cancelled"),
)
Index("attempts_by_id", ATTEMPTS.c.id, unique=True)
Index("attempts_by_task", ATTEMPTS.c.task_id, ATTEMPTS.c.seq)
Index("attempts_unknown", ATTEMPTS.c.task_id, **partial("state = 'unknown'"))

CLAIMS: Final = _table(
    "claims",
    words("workspace_id", key=True),
    words("key", key=True),
    words("task_id"),
    whole("at_ms"),
    octets("fingerprint"),
    clustered=True,
)
Index("claims_by_time", CLAIMS.c.at_ms)

LEASES: Final = _table("leases", words("owner", key=True), whole("until_ms"), clustered=True)

WEBHOOK_ENDPOINTS: Final = _table(
    "webhook_endpoints",
    words("id", key=True),
    words("workspace_id"),
    words("url"),
    words("events"),
    whole("created_ms"),
    whole("disabled_ms", optional=True),
)
Index("webhook_endpoints_by_workspace", WEBHOOK_ENDPOINTS.c.workspace_id, WEBHOOK_ENDPOINTS.c.url, unique=True)

WEBHOOK_SECRETS: Final = _table(
    "webhook_secrets",
    words("id", key=True),
    words("holder_id"),
    words("hint"),
    whole("created_ms"),
    whole("until_ms", optional=True),
)
Index("webhook_secrets_current", WEBHOOK_SECRETS.c.holder_id, unique=True, **partial("until_ms IS NULL"))
Index("webhook_secrets_by_holder", WEBHOOK_SECRETS.c.holder_id)

WEBHOOK_DELIVERIES: Final = _table(
    "webhook_deliveries",
    words("id", key=True),
    words("workspace_id"),
    words("task_id"),
    words("endpoint_id"),
    words("url"),
    words("event"),
    words("state"),
    whole("fence"),
    whole("tries"),
    whole("due_ms"),
    whole("status"),
    words("detail"),
    whole("created_ms"),
    whole("changed_ms"),
    within("webhook_deliveries_state", column="state", accepted="pending delivered dead"),
)
Index("webhook_deliveries_due", WEBHOOK_DELIVERIES.c.due_ms, **partial("state = 'pending'"))
Index(
    "webhook_deliveries_dead",
    WEBHOOK_DELIVERIES.c.created_ms,
    WEBHOOK_DELIVERIES.c.id,
    **partial("state = 'dead'"),
)
Index("webhook_deliveries_by_task", WEBHOOK_DELIVERIES.c.task_id)
Index("webhook_deliveries_by_time", WEBHOOK_DELIVERIES.c.created_ms, WEBHOOK_DELIVERIES.c.id)
Index(
    "webhook_deliveries_by_workspace",
    WEBHOOK_DELIVERIES.c.workspace_id,
    WEBHOOK_DELIVERIES.c.created_ms,
    WEBHOOK_DELIVERIES.c.id,
)
