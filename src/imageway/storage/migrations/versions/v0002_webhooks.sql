-- The ops of webhooks. The two rules of the first step hold here too: no percent sign, and no condition of a partial
-- index where one row is wanted by its key; so "pending" is written as what it is not.

CREATE FUNCTION imageway_add_endpoint(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  -- The workspace is locked, so that two who add at once cannot both be the last.
  PERFORM 1 FROM workspaces WHERE id = op->>'workspace_id' FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN 'no_workspace'; END IF;
  INSERT INTO webhook_endpoints (id, workspace_id, url, events, created_ms)
    VALUES (op->>'id', op->>'workspace_id', op->>'url', op->>'events', (op->>'at_ms')::bigint) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN 'duplicate'; END IF;
  IF (SELECT COUNT(*) FROM webhook_endpoints WHERE workspace_id = op->>'workspace_id') > (op->>'limit')::bigint THEN
    RETURN 'too_many';
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION imageway_rotate_secret(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM webhook_secrets WHERE holder_id = op->>'holder_id' AND until_ms IS NOT NULL;
  UPDATE webhook_secrets SET until_ms = (op->>'until_ms')::bigint WHERE holder_id = op->>'holder_id';
  IF NOT FOUND THEN RETURN 'no_secret'; END IF;
  RETURN imageway_add_secret(op);
END $$;

CREATE FUNCTION imageway_add_secret(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO webhook_secrets (id, holder_id, hint, created_ms)
    VALUES (op->>'id', op->>'holder_id', op->>'hint', (op->>'at_ms')::bigint) ON CONFLICT DO NOTHING;
  RETURN CASE WHEN NOT FOUND THEN 'duplicate' END;
END $$;

CREATE FUNCTION imageway_add_delivery(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO webhook_deliveries (id, workspace_id, task_id, endpoint_id, url, event, state, fence, tries, due_ms,
      status, detail, created_ms, changed_ms)
    VALUES (op->>'id', op->>'workspace_id', op->>'task_id', '', op->>'url', op->>'event', 'pending', 0, 0,
      (op->>'at_ms')::bigint, 0, '', (op->>'at_ms')::bigint, (op->>'at_ms')::bigint)
    ON CONFLICT DO NOTHING;
  RETURN CASE WHEN NOT FOUND THEN 'duplicate' END;
END $$;

CREATE FUNCTION imageway_notify_endpoints(op jsonb) RETURNS text LANGUAGE sql AS $$
  INSERT INTO webhook_deliveries (id, workspace_id, task_id, endpoint_id, url, event, state, fence, tries, due_ms,
      status, detail, created_ms, changed_ms)
    SELECT 'msg_' || substr(op->>'task_id', strpos(op->>'task_id', '_') + 1) || '_' || substr(id, strpos(id, '_') + 1),
      workspace_id, op->>'task_id', id, url, op->>'event', 'pending', 0, 0, (op->>'at_ms')::bigint, 0, '',
      (op->>'at_ms')::bigint, (op->>'at_ms')::bigint
    FROM webhook_endpoints
    WHERE workspace_id = op->>'workspace_id' AND disabled_ms IS NULL
      AND (events = '[]' OR strpos(events, '"' || (op->>'event') || '"') > 0)
    ON CONFLICT DO NOTHING;
  SELECT NULL::text;
$$;

-- The word of refusal, or NULL, of an op on webhooks.
CREATE FUNCTION imageway_apply_webhook(name text, op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  CASE name
    WHEN 'AddDelivery' THEN RETURN imageway_add_delivery(op);
    WHEN 'ClaimDelivery' THEN
      UPDATE webhook_deliveries
        SET fence = fence + 1, tries = tries + 1, due_ms = (op->>'until_ms')::bigint,
          changed_ms = (op->>'at_ms')::bigint
        WHERE id = op->>'id' AND state <> 'delivered' AND state <> 'dead' AND fence = (op->>'fence')::bigint
          AND due_ms <= (op->>'at_ms')::bigint;
      RETURN CASE WHEN NOT FOUND THEN 'not_due' END;
    WHEN 'EndDelivery' THEN
      UPDATE webhook_deliveries
        SET state = op->>'state', status = (op->>'status')::bigint, detail = op->>'detail',
          changed_ms = (op->>'at_ms')::bigint
        WHERE id = op->>'id' AND state <> 'delivered' AND state <> 'dead' AND fence = (op->>'fence')::bigint;
      RETURN CASE WHEN NOT FOUND THEN 'not_claimed' END;
    WHEN 'PostponeDelivery' THEN
      UPDATE webhook_deliveries
        SET due_ms = (op->>'due_ms')::bigint, status = (op->>'status')::bigint, detail = op->>'detail',
          changed_ms = (op->>'at_ms')::bigint
        WHERE id = op->>'id' AND state <> 'delivered' AND state <> 'dead' AND fence = (op->>'fence')::bigint;
      RETURN CASE WHEN NOT FOUND THEN 'not_claimed' END;
    WHEN 'ReplayDelivery' THEN
      UPDATE webhook_deliveries
        SET state = 'pending', tries = 0, due_ms = (op->>'at_ms')::bigint, changed_ms = (op->>'at_ms')::bigint
        WHERE id = op->>'id' AND state <> 'pending';
      RETURN CASE WHEN NOT FOUND THEN 'not_final' END;
    WHEN 'ForgetDeliveries' THEN
      -- As an array: a subquery is joined, which may mean to walk through the table.
      DELETE FROM webhook_deliveries WHERE id = ANY (ARRAY(
        SELECT id FROM webhook_deliveries WHERE created_ms < (op->>'before_ms')::bigint AND state <> 'pending'
        ORDER BY created_ms, id LIMIT (op->>'limit')::bigint));
      RETURN NULL;
    WHEN 'AddEndpoint' THEN RETURN imageway_add_endpoint(op);
    WHEN 'RemoveEndpoint' THEN
      DELETE FROM webhook_secrets WHERE holder_id = op->>'id';
      DELETE FROM webhook_endpoints WHERE id = op->>'id';
      RETURN CASE WHEN NOT FOUND THEN 'no_endpoint' END;
    WHEN 'DisableEndpoint' THEN
      UPDATE webhook_endpoints SET disabled_ms = (op->>'at_ms')::bigint WHERE id = op->>'id' AND disabled_ms IS NULL;
      RETURN NULL;
    WHEN 'EnableEndpoint' THEN
      UPDATE webhook_endpoints SET disabled_ms = NULL WHERE id = op->>'id' AND disabled_ms IS NOT NULL;
      RETURN CASE WHEN NOT FOUND THEN 'not_disabled' END;
    WHEN 'AddSecret' THEN RETURN imageway_add_secret(op);
    WHEN 'RotateSecret' THEN RETURN imageway_rotate_secret(op);
  END CASE;
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
    ELSE RETURN imageway_apply_webhook(name, op);
  END CASE;
END $$;
