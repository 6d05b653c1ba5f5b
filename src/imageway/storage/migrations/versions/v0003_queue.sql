-- The ops of waiting tasks. The two rules of the first step hold here too: no percent sign, and no condition of a
-- partial index where one row is wanted by its key; so "queued" is written as what it is besides: nobody's.

CREATE FUNCTION imageway_queue_task(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  -- The wallet is locked, as the hold that follows will anyway, so that two who queue at once cannot both be the last.
  PERFORM 1 FROM wallets WHERE workspace_id = op->>'workspace_id' FOR NO KEY UPDATE;
  INSERT INTO tasks (id, workspace_id, key_id, model, state, owner, fence, request, result, created_ms, deadline_ms)
    SELECT op->>'id', op->>'workspace_id', keys.id, op->>'model', 'queued', '', 1, decode(op->>'request', 'base64'), '',
      (op->>'created_ms')::bigint, (op->>'deadline_ms')::bigint
    FROM keys WHERE keys.id = op->>'key_id' AND revoked_ms IS NULL ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    PERFORM 1 FROM keys WHERE keys.id = op->>'key_id' AND revoked_ms IS NULL;
    RETURN CASE WHEN FOUND THEN 'duplicate' ELSE 'key_revoked' END;
  END IF;
  IF (SELECT COUNT(*) FROM tasks WHERE state = 'queued' AND workspace_id = op->>'workspace_id')
      > (op->>'limit')::bigint THEN
    RETURN 'queue_full';
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION imageway_requeue_task(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM tasks WHERE id = op->>'id' AND finished_ms IS NULL AND owner = op->>'owner'
    AND fence = (op->>'fence')::bigint AND owner <> '' FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN 'not_owner'; END IF;
  PERFORM 1 FROM attempts WHERE task_id = op->>'id' AND state IN ('submitted', 'polling');
  IF FOUND THEN RETURN 'begun'; END IF;
  UPDATE tasks SET state = 'queued', owner = '' WHERE id = op->>'id';
  RETURN NULL;
END $$;

-- The word of refusal, or NULL. Every function says it; the statements that need only one look are written here.
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
    WHEN 'ClaimKey' THEN
      INSERT INTO claims (workspace_id, key, task_id, at_ms)
        VALUES (op->>'workspace_id', op->>'key', op->>'task_id', (op->>'at_ms')::bigint) ON CONFLICT DO NOTHING;
      RETURN CASE WHEN NOT FOUND THEN 'in_use' END;
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
