"""Every limit of the engine, by name, with its default (docs/configuration.md)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Seconds, counts and bytes. An offering's own deadlines in the catalog win over the two here."""

    attempt_deadline_s: float = 300.0
    task_deadline_s: float = 900.0
    lease_s: float = 20.0
    lease_renew_s: float = 5.0
    wait_on_busy_s: float = 2.0  # a shorter retry hint is waited for; a longer one goes to the next candidate
    read_retry_s: float = 1.0
    read_retry_longest_s: float = 5.0
    tasks_at_once: int = 2048
    tasks_per_key_at_once: int = 512
    # Tasks that wait
    queued_per_workspace: int = 1000
    queued_per_key_at_once: int = 48  # of this process's workers, so that one key cannot keep all of them
    queue_poll_s: float = 1.0  # how soon what another process accepted is found
    claims_at_once: int = 64
    queue_deadline_s: float = 3600.0  # from the acceptance to the end, where the caller names no deadline
    longest_deadline_s: float = 24 * 3600.0  # what a caller may name
    longest_wait_s: float = 60.0  # of a request for a task's news
    signature_tolerance_s: float = 300.0  # how far the moment of a signed request may be from ours
    alerts_every_s: float = 5.0  # how soon a low balance is told
    watch_every_s: float = 0.5  # how soon such a request hears of what happened in another process
    # Reads of a provider's own tasks
    poll_least_s: float = 0.2
    poll_longest_s: float = 30.0
    polls_per_s: int = 2000  # of this process; what comes beyond that comes later
    keep_tasks_s: float = 90 * 24 * 3600.0  # how long ended ones can be looked at; a month's bills come after it
    # Images
    keep_images_s: float = 24 * 3600.0
    idempotency_keep_s: float = 24 * 3600.0  # how long a key stands for the request that it was sent with first
    fetched_image_bytes: int = 20 * 1024 * 1024
    fetch_deadline_s: float = 30.0
    sweep_every_s: float = 300.0
    events_kept: int = 64  # of a stream, for followers who are late or slow
    convert_bytes: int = 64 * 1024 * 1024
    uploads_at_once: int = 64  # no key is asked for before the form is read
    upload_bytes: int = 20 * 1024 * 1024
    upload_form_s: float = 300.0  # how long a caller has to send what he was granted
    keep_uploads_s: float = 48 * 3600.0
    upload_capacity_bytes: int = 1024 * 1024 * 1024  # of all uploads that one workspace has here
    # Webhooks
    webhook_deadline_s: float = 15.0
    webhook_claim_s: float = 45.0  # how long a delivery is one process's; it outlives the deadline of the try
    webhook_poll_s: float = 0.5  # how soon a delivery that is due is found
    webhooks_at_once: int = 32
    webhooks_per_workspace_at_once: int = 8  # a slow receiver holds up its own workspace at most
    webhook_wait_longest_s: float = 48 * 3600.0  # what a receiver may ask us to wait
    webhook_endpoints: int = 16  # of one workspace
    webhook_overlap_s: float = 24 * 3600.0  # how long a rotated secret signs beside the new one
    keep_webhooks_s: float = 30 * 24 * 3600.0  # how long ended deliveries can be looked at and replayed
