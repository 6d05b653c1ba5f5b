-- Old tasks and claims are removed. The two rules of the first step hold here too: no percent sign, and no condition of a
-- partial index where rows are wanted by their keys; so "undelivered" and "pending" are asked for as values.

CREATE FUNCTION imageway_forget_tasks(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  gone text[] := ARRAY(SELECT jsonb_array_elements_text(op->'ids'));
BEGIN
  DELETE FROM tasks WHERE id = ANY (gone) AND finished_ms IS NOT NULL
    AND COALESCE((SELECT delivery FROM usage WHERE request_id = tasks.id), '') <> 'undelivered'
    AND (SELECT COUNT(*) FROM webhook_deliveries
      WHERE task_id = tasks.id AND state <> 'delivered' AND state <> 'dead') = 0;
  DELETE FROM attempts WHERE task_id = ANY (gone)
    AND (SELECT COUNT(*) FROM tasks WHERE id = attempts.task_id) = 0;
  DELETE FROM webhook_deliveries WHERE task_id = ANY (gone)
    AND (SELECT COUNT(*) FROM tasks WHERE id = webhook_deliveries.task_id) = 0;
  RETURN NULL;
END $$;

-- As before, but a claim that stood in the way may have been removed while it was waited for: then it is free.
CREATE OR REPLACE FUNCTION imageway_claim_key(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  LOOP
    INSERT INTO claims (workspace_id, key, task_id, at_ms, fingerprint)
      VALUES (op->>'workspace_id', op->>'key', op->>'task_id', (op->>'at_ms')::bigint,
        decode(op->>'fingerprint', 'base64'))
      ON CONFLICT DO NOTHING;
    IF FOUND THEN RETURN NULL; END IF;
    PERFORM 1 FROM claims WHERE workspace_id = op->>'workspace_id' AND key = op->>'key' FOR UPDATE;
    EXIT WHEN FOUND;
  END LOOP;
  UPDATE claims SET task_id = op->>'task_id', at_ms = (op->>'at_ms')::bigint,
      fingerprint = decode(op->>'fingerprint', 'base64')
    WHERE workspace_id = op->>'workspace_id' AND key = op->>'key' AND (at_ms <= (op->>'expired_ms')::bigint
      OR NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = claims.task_id AND state NOT IN ('failed', 'cancelled')));
  RETURN CASE WHEN NOT FOUND THEN 'in_use' END;
END $$;

CREATE OR REPLACE FUNCTION imageway_apply_rare(name text, op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  CASE name
    WHEN 'Refund' THEN RETURN imageway_refund(op);
    WHEN 'BookOverrun' THEN RETURN imageway_book('overrun', 'overrun', op);
    WHEN 'TopUp' THEN RETURN imageway_pay_in('topup', 'topped_up', op);
    WHEN 'Grant' THEN RETURN imageway_pay_in('grant', 'granted', op);
    WHEN 'Adjust' THEN
      RETURN imageway_pay_in(CASE WHEN (op->>'usd_micros')::bigint < 0 THEN 'adjust_down' ELSE 'adjust_up' END,
        'adjusted', op);
    WHEN 'CreateWorkspace' THEN RETURN imageway_create_workspace(op);
    WHEN 'CreateKey' THEN RETURN imageway_create_key(op);
    WHEN 'RevokeKey' THEN
      UPDATE keys SET revoked_ms = (op->>'at_ms')::bigint WHERE id = op->>'id' AND revoked_ms IS NULL;
      RETURN CASE WHEN NOT FOUND THEN 'no_key' END;
    WHEN 'ForgetTasks' THEN RETURN imageway_forget_tasks(op);
    WHEN 'ForgetClaims' THEN
      DELETE FROM claims WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM claims WHERE at_ms <= (op->>'expired_ms')::bigint
        ORDER BY at_ms LIMIT (op->>'limit')::bigint FOR UPDATE SKIP LOCKED));
      RETURN NULL;
    WHEN 'RequeueTask' THEN RETURN imageway_requeue_task(op);
    WHEN 'MarkCancel' THEN
      UPDATE tasks SET cancel_ms = COALESCE(cancel_ms, (op->>'at_ms')::bigint)
        WHERE id = op->>'id' AND finished_ms IS NULL AND owner <> '';
      RETURN CASE WHEN NOT FOUND THEN 'not_running' END;
    ELSE RETURN imageway_apply_webhook(name, op);
  END CASE;
END $$;
