-- Claims that may be taken anew. The two rules of the first step hold here too: no percent sign, and no condition of a
-- partial index where one row is wanted by its key.

-- Whether the claim is over is asked by a statement of its own, once the claim is locked: one that has waited for the
-- lock still sees the tasks as they were before it waited, and would take the rival's new task for one that is gone.
CREATE FUNCTION imageway_claim_key(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO claims (workspace_id, key, task_id, at_ms, fingerprint)
    VALUES (op->>'workspace_id', op->>'key', op->>'task_id', (op->>'at_ms')::bigint, decode(op->>'fingerprint', 'base64'))
    ON CONFLICT DO NOTHING;
  IF FOUND THEN RETURN NULL; END IF;
  PERFORM 1 FROM claims WHERE workspace_id = op->>'workspace_id' AND key = op->>'key' FOR UPDATE;
  UPDATE claims SET task_id = op->>'task_id', at_ms = (op->>'at_ms')::bigint,
      fingerprint = decode(op->>'fingerprint', 'base64')
    WHERE workspace_id = op->>'workspace_id' AND key = op->>'key' AND (at_ms <= (op->>'expired_ms')::bigint
      OR NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = claims.task_id AND state NOT IN ('failed', 'cancelled')));
  RETURN CASE WHEN NOT FOUND THEN 'in_use' END;
END $$;

CREATE FUNCTION imageway_apply_rare(name text, op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  CASE name
    WHEN 'Refund' THEN RETURN imageway_refund(op);
    WHEN 'BookOverrun' THEN RETURN imageway_book('overrun', 'overrun', op);
    WHEN 'TopUp' THEN RETURN imageway_topup(op);
    WHEN 'CreateWorkspace' THEN RETURN imageway_create_workspace(op);
    WHEN 'CreateKey' THEN RETURN imageway_create_key(op);
    WHEN 'RevokeKey' THEN
      UPDATE keys SET revoked_ms = (op->>'at_ms')::bigint WHERE id = op->>'id' AND revoked_ms IS NULL;
      RETURN CASE WHEN NOT FOUND THEN 'no_key' END;
    WHEN 'RequeueTask' THEN RETURN imageway_requeue_task(op);
    WHEN 'MarkCancel' THEN
      UPDATE tasks SET cancel_ms = COALESCE(cancel_ms, (op->>'at_ms')::bigint)
        WHERE id = op->>'id' AND finished_ms IS NULL AND owner <> '';
      RETURN CASE WHEN NOT FOUND THEN 'not_running' END;
    ELSE RETURN imageway_apply_webhook(name, op);
  END CASE;
END $$;

-- The word of refusal, or NULL. Every function says it; the statements that need only one look are written here. A
-- CASE is read from the top: what every request needs stands first, what is rare in a function of its own.
CREATE OR REPLACE FUNCTION imageway_apply(name text, op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  CASE name
    WHEN 'CreateTask' THEN RETURN imageway_create_task(op);
    WHEN 'Hold' THEN RETURN imageway_hold(op);
    WHEN 'BeginAttempt' THEN RETURN imageway_begin_attempt(op);
    WHEN 'EndAttempt' THEN RETURN imageway_evidence(op->>'state', op->>'detail', NULL, op);
    WHEN 'Capture' THEN RETURN imageway_capture(op);
    WHEN 'ClaimTask' THEN
      UPDATE tasks SET state = 'running', owner = op->>'owner', fence = fence + 1
        WHERE id = op->>'id' AND finished_ms IS NULL AND owner = '' AND fence = (op->>'fence')::bigint;
      RETURN CASE WHEN NOT FOUND THEN 'not_queued' END;
    WHEN 'QueueTask' THEN RETURN imageway_queue_task(op);
    WHEN 'NotifyEndpoints' THEN RETURN imageway_notify_endpoints(op);
    WHEN 'FinishTask' THEN
      UPDATE tasks
        SET state = op->>'state', result = decode(op->>'result', 'base64'), finished_ms = (op->>'at_ms')::bigint
        WHERE id = op->>'id' AND finished_ms IS NULL;
      RETURN CASE WHEN NOT FOUND THEN 'task_final' END;
    WHEN 'RecordUsage' THEN RETURN imageway_record_usage(op);
    WHEN 'MarkDelivery' THEN RETURN imageway_mark_delivery(op);
    WHEN 'BookCost' THEN RETURN imageway_book('cost', 'cost:' || (op->>'upstream_id'), op);
    WHEN 'KeepMemo' THEN RETURN imageway_evidence('polling', NULL, decode(op->>'memo', 'base64'), op);
    WHEN 'Void' THEN RETURN imageway_void(op);
    WHEN 'ClaimKey' THEN RETURN imageway_claim_key(op);
    WHEN 'ReplaceResult' THEN
      UPDATE tasks SET result = decode(op->>'result', 'base64')
        WHERE id = op->>'id' AND finished_ms IS NOT NULL
          AND (op->>'was' IS NULL OR result = decode(op->>'was', 'base64'));
      IF FOUND THEN RETURN NULL; END IF;
      PERFORM 1 FROM tasks WHERE id = op->>'id' AND finished_ms IS NOT NULL;
      RETURN CASE WHEN FOUND THEN 'changed' ELSE 'not_final' END;
    WHEN 'RenewLease' THEN
      INSERT INTO leases (owner, until_ms) VALUES (op->>'owner', (op->>'until_ms')::bigint)
        ON CONFLICT (owner) DO UPDATE SET until_ms = excluded.until_ms;
      RETURN NULL;
    WHEN 'DropLease' THEN
      DELETE FROM leases WHERE owner = op->>'owner';
      RETURN NULL;
    WHEN 'AdoptTask' THEN
      UPDATE tasks SET owner = op->>'to_owner', fence = fence + 1
        WHERE id = op->>'id' AND finished_ms IS NULL AND state <> 'queued'
          AND owner = op->>'from_owner' AND fence = (op->>'from_fence')::bigint;
      RETURN CASE WHEN NOT FOUND THEN 'not_owner' END;
    ELSE RETURN imageway_apply_rare(name, op);
  END CASE;
END $$;
