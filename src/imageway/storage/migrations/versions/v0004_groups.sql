-- Units of one group side by side: what is the same op in all of them is one statement for all. A function tells
-- whether all its ops were done; where one was not, nothing of the group is kept, and imageway_commit takes the units one
-- by one, which finds out whose it is and why. The two rules of the first step hold here too: no percent sign, and no
-- condition of a partial index where rows are wanted by their keys.

CREATE FUNCTION imageway_all_create_task(ops jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  done bigint;
BEGIN
  INSERT INTO tasks (id, workspace_id, key_id, model, state, owner, fence, request, result, created_ms, deadline_ms)
    SELECT op.id, op.workspace_id, keys.id, op.model, 'running', op.owner, 1, decode(op.request, 'base64'), '',
      op.created_ms, op.deadline_ms
    FROM jsonb_to_recordset(ops) AS op (id text, workspace_id text, key_id text, model text, owner text, request text,
      created_ms bigint, deadline_ms bigint)
    JOIN keys ON keys.id = op.key_id AND revoked_ms IS NULL ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS done = ROW_COUNT;
  RETURN done = jsonb_array_length(ops);
END $$;

CREATE FUNCTION imageway_all_hold(ops jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  done bigint;
BEGIN
  INSERT INTO holds (task_id, workspace_id, usd_micros, captured, state)
    SELECT task_id, workspace_id, usd_micros, 0, 'open'
    FROM jsonb_to_recordset(ops) AS op (task_id text, workspace_id text, usd_micros bigint) ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS done = ROW_COUNT;
  IF done < jsonb_array_length(ops) THEN RETURN false; END IF;
  UPDATE wallets SET available = available - amount, held = held + amount
    FROM (SELECT workspace_id, SUM(usd_micros)::bigint AS amount, COUNT(*) AS holds
      FROM jsonb_to_recordset(ops) AS op (workspace_id text, usd_micros bigint) GROUP BY workspace_id) AS sums
    WHERE wallets.workspace_id = sums.workspace_id AND available >= amount;
  GET DIAGNOSTICS done = ROW_COUNT;
  IF done < (SELECT COUNT(DISTINCT op->>'workspace_id') FROM jsonb_array_elements(ops) AS op) THEN RETURN false; END IF;
  INSERT INTO transfers (kind, workspace_id, task_id, account, usd_micros, at_ms)
    SELECT 'hold', workspace_id, task_id, 'wallet', usd_micros, at_ms
    FROM jsonb_to_recordset(ops) AS op (task_id text, workspace_id text, usd_micros bigint, at_ms bigint);
  RETURN true;
END $$;

CREATE FUNCTION imageway_all_capture(ops jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  done bigint;
BEGIN
  WITH taken AS (
    UPDATE holds SET state = 'captured', captured = op.usd_micros
    FROM jsonb_to_recordset(ops) AS op (task_id text, usd_micros bigint, at_ms bigint)
    WHERE holds.task_id = op.task_id AND state = 'open' AND holds.usd_micros >= op.usd_micros
    RETURNING holds.task_id, workspace_id, captured, holds.usd_micros - captured AS rest, at_ms
  ), moved AS (
    UPDATE wallets SET available = available + rest, held = held - amount - rest, spent = spent + amount
    FROM (SELECT workspace_id, SUM(captured)::bigint AS amount, SUM(taken.rest)::bigint AS rest
      FROM taken GROUP BY workspace_id) AS sums
    WHERE wallets.workspace_id = sums.workspace_id
  ), voided AS (
    INSERT INTO transfers (kind, workspace_id, task_id, account, usd_micros, at_ms)
      SELECT 'void', workspace_id, task_id, 'wallet', rest, at_ms FROM taken WHERE rest > 0
  )
  INSERT INTO transfers (kind, workspace_id, task_id, account, usd_micros, at_ms)
    SELECT 'capture', workspace_id, task_id, 'wallet', captured, at_ms FROM taken;
  GET DIAGNOSTICS done = ROW_COUNT;
  RETURN done = jsonb_array_length(ops);
END $$;

CREATE FUNCTION imageway_all_book_cost(ops jsonb) RETURNS boolean LANGUAGE sql AS $$
  INSERT INTO transfers (kind, task_id, account, usd_micros, at_ms)
    SELECT kind, task_id, kind || ':' || upstream_id, usd_micros, at_ms
    FROM jsonb_to_recordset(ops)
      AS op (task_id text, upstream_id text, usd_micros bigint, at_ms bigint, known boolean),
      LATERAL (SELECT CASE WHEN known THEN 'cost' ELSE 'unknown' END AS kind) AS named;
  SELECT true;
$$;

CREATE FUNCTION imageway_all_record_usage(ops jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  done bigint;
BEGIN
  INSERT INTO usage (
      request_id, workspace_id, key_id, model, outcome, n, delivered, price_usd_micros, cost_usd_micros, lines,
      delivery, owner, upstream_id, at_ms, delivery_ms, dialect, operation, offering, size, input_text_tokens,
      input_image_tokens, output_text_tokens, output_image_tokens, queue_ms, upstream_ms, total_ms, warnings, error
    )
    SELECT request_id, workspace_id, key_id, model, outcome, n, delivered, price_usd_micros, cost_usd_micros,
      decode(encode(lines, 'escape'), 'base64'), delivery, owner, upstream_id, at_ms, at_ms, dialect, operation,
      offering, size, input_text_tokens, input_image_tokens, output_text_tokens, output_image_tokens, queue_ms,
      upstream_ms, total_ms, warnings, error
    FROM jsonb_populate_recordset(NULL::usage, ops)
    ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS done = ROW_COUNT;
  RETURN done = jsonb_array_length(ops);
END $$;

CREATE FUNCTION imageway_all_mark_delivery(ops jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  done bigint;
  op jsonb;
BEGIN
  IF ops @> '[{"delivery": "refunded"}]' THEN -- which changes the sums as well
    FOR op IN SELECT value FROM jsonb_array_elements(ops) LOOP
      IF imageway_mark_delivery(op) IS NOT NULL THEN RETURN false; END IF;
    END LOOP;
    RETURN true;
  END IF;
  WITH found AS (
    SELECT seq, usage.delivery AS was, op.delivery, op.at_ms
    FROM jsonb_to_recordset(ops) AS op (request_id text, delivery text, at_ms bigint)
    JOIN usage ON usage.request_id = op.request_id
    FOR NO KEY UPDATE OF usage
  )
  UPDATE usage SET delivery = found.delivery, delivery_ms = found.at_ms
    FROM found WHERE usage.seq = found.seq AND was = 'undelivered';
  GET DIAGNOSTICS done = ROW_COUNT;
  RETURN done = jsonb_array_length(ops);
END $$;

-- Tasks are locked before attempts are judged by them, as where they come one by one.
CREATE FUNCTION imageway_all_begin_attempt(ops jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  done bigint;
BEGIN
  WITH locked AS (
    SELECT op.*, tasks.state, tasks.owner AS owned_by, tasks.fence AS fenced
    FROM jsonb_to_recordset(ops) AS op (id text, task_id text, part bigint, upstream_id text, offering text,
      owner text, fence bigint, at_ms bigint, deadline_ms bigint)
    JOIN tasks ON tasks.id = op.task_id
    FOR NO KEY UPDATE OF tasks
  )
  INSERT INTO attempts (id, task_id, part, upstream_id, offering, state, memo, detail, at_ms, deadline_ms, changed_ms)
    SELECT id, task_id, part, upstream_id, offering, 'submitted', '', '', at_ms, deadline_ms, at_ms
    FROM locked WHERE state = 'running' AND owned_by = owner AND fenced = fence
    ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS done = ROW_COUNT;
  RETURN done = jsonb_array_length(ops);
END $$;

CREATE FUNCTION imageway_all_end_attempt(ops jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  done bigint;
BEGIN
  WITH locked AS (
    SELECT op.*, finished_ms
    FROM jsonb_to_recordset(ops) AS op (attempt_id text, state text, detail text, at_ms bigint)
    JOIN attempts ON attempts.id = op.attempt_id
    JOIN tasks ON tasks.id = attempts.task_id
    FOR NO KEY UPDATE OF tasks
  )
  UPDATE attempts SET state = locked.state, detail = locked.detail, changed_ms = locked.at_ms
    FROM locked
    WHERE finished_ms IS NULL AND attempts.id = locked.attempt_id AND attempts.state IN ('submitted', 'polling');
  GET DIAGNOSTICS done = ROW_COUNT;
  RETURN done = jsonb_array_length(ops);
END $$;

CREATE FUNCTION imageway_all_finish_task(ops jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  done bigint;
BEGIN
  UPDATE tasks SET state = op.state, result = decode(op.result, 'base64'), finished_ms = op.at_ms
    FROM jsonb_to_recordset(ops) AS op (id text, state text, result text, at_ms bigint)
    WHERE tasks.id = op.id AND finished_ms IS NULL;
  GET DIAGNOSTICS done = ROW_COUNT;
  RETURN done = jsonb_array_length(ops);
END $$;

CREATE FUNCTION imageway_all_notify_endpoints(ops jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  op jsonb;
BEGIN
  FOR op IN SELECT value FROM jsonb_array_elements(ops) AS asked WHERE EXISTS
      (SELECT 1 FROM webhook_endpoints WHERE workspace_id = asked.value->>'workspace_id') LOOP
    PERFORM imageway_notify_endpoints(op);
  END LOOP;
  RETURN true;
END $$;

-- Whether all of them were done.
CREATE FUNCTION imageway_apply_all(name text, ops jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  op jsonb;
BEGIN
  CASE name
    WHEN 'CreateTask' THEN RETURN imageway_all_create_task(ops);
    WHEN 'Hold' THEN RETURN imageway_all_hold(ops);
    WHEN 'BeginAttempt' THEN RETURN imageway_all_begin_attempt(ops);
    WHEN 'EndAttempt' THEN RETURN imageway_all_end_attempt(ops);
    WHEN 'Capture' THEN RETURN imageway_all_capture(ops);
    WHEN 'BookCost' THEN RETURN imageway_all_book_cost(ops);
    WHEN 'RecordUsage' THEN RETURN imageway_all_record_usage(ops);
    WHEN 'FinishTask' THEN RETURN imageway_all_finish_task(ops);
    WHEN 'MarkDelivery' THEN RETURN imageway_all_mark_delivery(ops);
    WHEN 'NotifyEndpoints' THEN RETURN imageway_all_notify_endpoints(ops);
    ELSE
      FOR op IN SELECT value FROM jsonb_array_elements(ops) LOOP
        IF imageway_apply(name, op) IS NOT NULL THEN RETURN false; END IF;
      END LOOP;
      RETURN true;
  END CASE;
END $$;

-- `steps`: [name, [op, …]] in order. Raises IW001 where something stands in the way of one of them. The wallets of all
-- workspaces are locked first, in the order in which every replica locks them. Rows are wanted by their keys: whatever the
-- statistics say, or do not say yet, nothing here is worth walking through a table.
CREATE FUNCTION imageway_commit_alike(steps jsonb, workspaces text[]) RETURNS void LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  step jsonb;
  recorded jsonb[];
BEGIN
  PERFORM 1 FROM wallets WHERE workspace_id = ANY (workspaces) ORDER BY workspace_id FOR NO KEY UPDATE;
  FOR step IN SELECT value FROM jsonb_array_elements(steps) LOOP
    IF NOT imageway_apply_all(step->>0, step->1) THEN RAISE EXCEPTION USING ERRCODE = 'IW001'; END IF;
    IF step->>0 = 'RecordUsage' THEN
      recorded := recorded || ARRAY(SELECT value FROM jsonb_array_elements(step->1));
    END IF;
  END LOOP;
  IF recorded IS NOT NULL THEN PERFORM imageway_add_up(recorded); END IF;
END $$;
